"""statsmodels' spelling."""
def mixedlm(*a, **k): raise NotImplementedError
class MixedLM: pass
