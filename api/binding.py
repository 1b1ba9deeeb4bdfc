"""From a request to an endpoint's arguments, strict, and at a tenth of the framework's cost.

FastAPI works out what an endpoint takes and describes it; its own way of filling the arguments
looks at every parameter's annotations on each request. Here what is needed is looked up once, and
only parameters that were sent are validated, by the same validators.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from common.errors import InvalidRequest
from common.http.body import MAX_PARAMETERS

REPEATABLE = frozenset({"metric", "metric_name", "gpu_id"})

Query = Mapping[str, Sequence[str]]
Validate = Callable[..., tuple[Any, list[Any]]]


class Parameter(NamedTuple):
    """One parameter of a query or path, as an argument of a function."""

    argument: str
    name: str
    place: str
    default: Any
    validate: Validate

    def read(self, given: Any, problems: list[Any]) -> Any:
        """Return what was given as the type that the argument has."""
        value, wrong = self.validate(given, {}, loc=(self.place, self.name))
        problems += wrong or ()
        return value


class Call(NamedTuple):
    """A function with its parameters, and with the functions whose results it takes."""

    function: Callable[..., Coroutine[Any, Any, Any]]
    path: tuple[Parameter, ...]
    query: tuple[Parameter, ...]
    request: str | None
    needs: tuple[tuple[str, "Call"], ...]

    async def run(self, request: Request, query: Query) -> Any:
        """Call it; raises RequestValidationError with all that is wrong with its parameters."""
        problems: list[Any] = []
        given = {argument: await need.run(request, query) for argument, need in self.needs}
        for each in self.path:
            given[each.argument] = each.read(request.path_params[each.name], problems)
        for each in self.query:
            sent = query.get(each.name)
            if sent is None:
                given[each.argument] = each.default
                continue
            found = list(sent) if each.name in REPEATABLE else sent[0]
            given[each.argument] = each.read(found, problems)
        if problems:
            raise RequestValidationError(problems)
        if self.request is not None:
            given[self.request] = request
        return await self.function(**given)


class StrictRoute(APIRoute):
    """A route that refuses a query parameter it does not know, or that is given twice.

    Endpoints and what they depend on are coroutines, take the request, parameters of path and
    query with defaults, and results of each other, and nothing else.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        call = call_of(self.dependant)
        known = query_names(self.dependant)

        async def strict(request: Request) -> Response:
            found: Response = await call.run(
                request, read_query(request.scope["query_string"], known)
            )
            return found

        return strict


def call_of(dependant: Dependant) -> Call:
    """Look up what a function takes; raises TypeError for what this module does not give."""
    if dependant.call is None or dependant.header_params or dependant.body_params:
        raise TypeError(f"{dependant.call} takes what is not bound here")
    return Call(
        dependant.call,
        tuple(Parameter(f.name, f.alias, "path", None, f.validate) for f in dependant.path_params),
        tuple(
            Parameter(f.name, f.alias, "query", f.get_default(), f.validate)
            for f in dependant.query_params
        ),
        dependant.request_param_name,
        tuple((str(each.name), call_of(each)) for each in dependant.dependencies),
    )


def query_names(dependant: Dependant) -> frozenset[str]:
    """The query parameters of a route and of all it depends on."""
    own = frozenset(param.alias for param in dependant.query_params)
    return own.union(*map(query_names, dependant.dependencies))


def read_query(query: bytes, known: frozenset[str]) -> Query:
    """Return what was given, by name; raises InvalidRequest for what the route does not take."""
    if not query:
        return {}
    try:
        pairs = parse_qsl(
            query.decode("ascii"), True, max_num_fields=MAX_PARAMETERS, errors="strict"
        )
    except ValueError as error:
        raise InvalidRequest(f"the query string cannot be read: {error}") from error
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in known:
            raise InvalidRequest(f"no such parameter: {name}", details={"known": sorted(known)})
        if name in found and name not in REPEATABLE:
            raise InvalidRequest(f"parameter {name} is given twice")
        found.setdefault(name, []).append(value)
    return found
