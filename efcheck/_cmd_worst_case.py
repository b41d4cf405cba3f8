"""`efcheck worst-case`: the largest value over all functions, gradients and compressors, beside what the bounds allow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from efcheck import __version__

CERTIFIED = {"error_norm": "lemma-3", "suboptimality": "theorem-3"}
BOUNDS = {"error_norm": "lemma-3", "gradient_norm": "theorem-2", "suboptimality": "theorem-3"}  # of EFSGD


@click.command("worst-case")
@click.argument("quantity")
@click.option("--T", "T", type=int, required=True, metavar="N", help="Steps.")
@click.option("--delta", required=True, metavar="X", help="Contraction of the compressor, in (0, 1].")
@click.option("--gamma", required=True, metavar="X", help="Step size, [x]^2/[f].")
@click.option("--L", "L", metavar="X", help="Smoothness, [f]/[x]^2.  [default: 1]")
@click.option("--sigma", metavar="X", help="Bound of the gradients, [f]/[x].  [default: 1]")
@click.option("--f0", metavar="X", help="f(x_0) - inf f, [f], of gradient-norm; free if not given.")
@click.option("--R", "R", metavar="X", help="||x_0 - x*||, [x], of suboptimality.  [default: 1]")
@click.option("--mu", metavar="X", help="Strong convexity, [f]/[x]^2, of contraction.")
@click.option("--method", default="EFSGD", show_default=True, metavar="NAME", help="EFSGD, CompressedSGD or EF21.")
@click.option("--solver", default="CLARABEL", show_default=True, metavar="NAME", help="CLARABEL or SCS.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Write value, vectors and multipliers there.")
@click.option("--certificate", type=click.Path(path_type=Path, dir_okay=False), help="Write an exact proof of it there.")
def worst_case(
    quantity: str, T: int, method: str, solver: str, save: Path | None, certificate: Path | None, **letters: str | None
) -> int:
    """The largest QUANTITY after N steps: error-norm, gradient-norm, suboptimality or contraction.

    \b
    efcheck worst-case error-norm --T 5 --delta 1/2 --gamma 1/10
    efcheck worst-case gradient-norm --T 12 --delta 0.99 --gamma 1.5      f(x_0) free, 2 f0/(gamma (T+1)) subtracted

    Numbers may be written 0.1, 1e-3 or 1/1200. Exit codes: 0 with a value that counts, 1 if gap or residuals are too large,
    2 wrong usage.
    """
    from efcheck.errors import EfcheckError
    from efcheck.evidence import worst_case as solve
    from efcheck.evidence.parse import number
    from efcheck.report import write_text

    for file in (save, certificate):
        if file is not None and not file.parent.is_dir():
            raise EfcheckError(f"{file.parent} must be a folder that can be written to")
    if save is not None and certificate is not None and save.resolve() == certificate.resolve():
        raise EfcheckError(f"--save and --certificate must be two files; got {save} twice")
    exact = {name: number(text, name) for name, text in letters.items() if text is not None}
    values = {name: float(value) for name, value in exact.items()}
    quantity = quantity.replace("-", "_")
    if certificate is not None and (method != "EFSGD" or quantity not in CERTIFIED):
        raise EfcheckError("--certificate goes with error-norm or suboptimality of EFSGD, the bounds that can be certified")
    found = solve(quantity, T=T, method=method, solver=solver, gram=save is not None, **values)
    click.echo(f"{found.outcome}: {found.detail}")
    counts = found.outcome == "supported"
    compared = _compared(found.data) if counts and method == "EFSGD" and quantity in BOUNDS else {}
    for name, (bound, ratio) in compared.items():
        words = f"worst case/bound = {ratio:.6f}" if ratio is not None else "smaller than what the solver can tell from 0"
        exceeded = ratio is not None and found.data["value"] - found.data["accuracy"] > bound * (1 + 1e-6)
        click.echo(f"  {name:<9}{f'{bound:.9g} ':<14}{words}" + ("  exceeded" if exceeded else ""))
    if save is not None:
        told = {name: {"value": bound, "ratio": ratio} for name, (bound, ratio) in compared.items()}
        write_text(save, json.dumps({"efcheck": __version__, **found.to_json(), "bounds": told}, indent=1) + "\n")
    if certificate is not None:
        _certify(certificate, quantity, T, exact, found.data)
    return 0 if counts else 1


def _certify(file: Path, quantity: str, T: int, exact: Any, solved: Mapping[str, Any]) -> None:
    """Write a certificate of the worst case, which `efcheck verify-certificate` checks without a solver."""
    from efcheck.errors import argument_error
    from efcheck.evidence import certificate
    from efcheck.evidence.certify import certify
    from efcheck.report import write_text

    for name, given in exact.items():
        if not given.is_Rational:
            raise argument_error(name, "be rational for a certificate", str(given))
    letters = {name: Fraction(str(exact.get(name, 1))) for name in ("delta", "gamma", "sigma")}
    R = Fraction(str(exact.get("R", 1))) if quantity == "suboptimality" else None
    found = certify(CERTIFIED[quantity], T, **letters, R=R)
    write_text(file, json.dumps(found, indent=1) + "\n")
    value = solved["value"]
    above = float(Fraction(found["bound"])) / value - 1 if value > 1000 * solved["accuracy"] else 0.0
    more = f", {above:.1e} above the worst case" if above > 1e-5 else ""
    click.echo(f"{file} proves {certificate.statement(found)}{more}")


def _compared(data: Any) -> dict[str, tuple[float, float | None]]:
    """Each form of the bound, and the worst case over it, None where neither is above 1000 times the answer's accuracy.

    With f0 free its term is on the left: the bound has f0 = 0.
    """
    from efcheck import bounds

    bound = bounds.named(BOUNDS[data["quantity"]])
    given = {**data, "t": data["T"], "f0": data.get("f0") or 0.0}
    at = {name: float(side(**{letter: given[letter] for letter in side.letters})) for name, side in bound.forms}
    least = 1000 * data["accuracy"]
    told = max(at.values()) > least or data["value"] > least
    return {name: (value, data["value"] / value if told else None) for name, value in at.items() if value > 0}
