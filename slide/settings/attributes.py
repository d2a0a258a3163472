"""Public attributes: each takes effect when it is assigned, or says why it cannot be."""

from collections.abc import Callable
from typing import Any, Generic, NoReturn, Self, TypeVar, overload

T = TypeVar("T")
S = TypeVar("S")


class ReadOnly(Generic[T]):
    """An attribute whose assignment raises AttributeError, saying what to do instead.

    As a decorator it makes a property of a method; by itself it is the attribute of the same name with a leading
    underscore, which its class assigns.
    """

    def __init__(self, instead: str, get: Callable[[Any], T] | None = None, doc: str | None = None):
        self.instead, self.get = instead, get
        self.__doc__ = get.__doc__ if get else doc

    def __call__(self, get: Callable[[Any], S]) -> "ReadOnly[S]":
        return ReadOnly(self.instead, get)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.own = name, f"_{name}"

    @overload
    def __get__(self, owner: None, cls: type) -> Self: ...

    @overload
    def __get__(self, owner: object, cls: type) -> T: ...

    def __get__(self, owner: Any, cls: type | None = None) -> Any:
        if owner is None:
            return self
        return self.get(owner) if self.get else getattr(owner, self.own)

    def __set__(self, owner: object, value: T) -> NoReturn:
        raise AttributeError(f"{type(owner).__name__}.{self.name} cannot be set: {self.instead}")


class Attributes:
    """Base of classes that refuse an assignment to a public attribute that they do not have: nothing would read it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r} to set")
        super().__setattr__(name, value)
