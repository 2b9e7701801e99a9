// Keys for the open image, and its redrawing. Plain script: FiftyOne loads it as it is, there is
// nothing to build.
(() => {
  const { Operator, OperatorConfig, executeOperator, registerOperator } = window.__foo__;
  const REVIEW = "@autolabel/review/";
  const PROMPT = "@voxel51/operators/prompt_user_for_operation";
  const KEYS = {
    a: "accept",
    x: "reject",
    l: "relabel",
    t: "correct_text",
    d: "mark_done",
    u: "reopen",
  };
  const ASKING = new Set(["relabel", "correct_text"]); // the others ask only if they have to

  const typing = (element) =>
    element instanceof Element &&
    element.closest("input, textarea, select, [contenteditable], [role=dialog], [role=combobox]");

  // Only where labels are looked at: not in the grid, not in the Annotate tab, which has keys
  // of its own, and not over an open form.
  const looking = () =>
    document.querySelector("#modal.modalon [data-cy=modal]") &&
    !document.querySelector("#modal [data-cy=brush], #modal [data-cy=pen], [role=dialog]");

  document.addEventListener("keydown", (event) => {
    const name = KEYS[event.key];
    const plain = !(event.ctrlKey || event.metaKey || event.altKey || event.shiftKey);
    if (!name || !plain || event.repeat || typing(event.target) || !looking()) return;
    event.preventDefault();
    event.stopPropagation();
    const uri = REVIEW + name;
    if (ASKING.has(name)) executeOperator(PROMPT, { operator_uri: uri });
    else executeOperator(uri, {});
  }, true);

  // FiftyOne's own reload_samples leaves an open image as it was: hand it the new labels.
  class ShowEdits extends Operator {
    get config() {
      return new OperatorConfig({ name: "show_edits", label: "Show edits", unlisted: true });
    }

    useHooks() {
      return { update: window.__fos__.useUpdateSamples() };
    }

    async execute({ hooks, params }) {
      hooks.update(params.samples);
    }
  }
  registerOperator(ShowEdits, "@autolabel/review");
})();
