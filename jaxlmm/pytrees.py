"""Frozen dataclasses that JAX can carry through `jit` and `vmap`."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static(**options: Any) -> Any:
    """Mark a field of a `pytree` class as static: part of the tree's structure, hashable, never traced."""
    return dataclasses.field(metadata={"static": True}, **options)


@dataclass_transform(frozen_default=True, field_specifiers=(static, dataclasses.field))
def pytree(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass and register it with JAX; fields made by `static` are metadata."""
    frozen = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(frozen)  # type: ignore[arg-type]
    meta = [f.name for f in fields if f.metadata.get("static", False)]
    data = [f.name for f in fields if f.name not in meta]
    return jax.tree_util.register_dataclass(frozen, data_fields=data, meta_fields=meta)
