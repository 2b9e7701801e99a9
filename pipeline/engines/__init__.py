"""The machines. ``base`` says what an engine is, ``registry`` builds one from the run file.

Each engine module may import its heavy library at the top: the registry imports engine modules
only when one is asked for, so that nothing else in the house ever waits for torch.
"""
