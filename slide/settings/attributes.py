"""Public attributes: each takes effect when it is assigned, or says why it cannot be."""


class ReadOnly:
    """An attribute whose assignment raises AttributeError, saying what to do instead.

    As a decorator it makes a property of a method; by itself it is the attribute of the same name with a leading
    underscore, which its class assigns.
    """

    def __init__(self, instead: str, get=None, doc: str | None = None):
        self.instead, self.get = instead, get
        self.__doc__ = get.__doc__ if get else doc

    def __call__(self, get) -> "ReadOnly":
        return ReadOnly(self.instead, get)

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, owner, cls=None):
        if owner is None:
            return self
        return self.get(owner) if self.get else getattr(owner, f"_{self.name}")

    def __set__(self, owner, value):
        raise AttributeError(f"{type(owner).__name__}.{self.name} cannot be set: {self.instead}")


class Attributes:
    """Base of classes that refuse an assignment to a public attribute that they do not have: nothing would read it."""

    def __setattr__(self, name, value):
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r} to set")
        super().__setattr__(name, value)
