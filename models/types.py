"""The legend of axis letters in shape annotations.

    n  tokens of a packed batch, all sequences end to end
    b  sequences of a batch
    t  tokens of one sequence
    l  layers
    h  heads
    k  key and query width of a head
    v  value width of a head
    d  model width

`Float[Tensor, "n d"]` is documentation that the tests execute (jaxtyping with beartype); in production it does nothing.
"""
