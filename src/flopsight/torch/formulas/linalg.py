"""Factorizations and solvers: the leading terms of Golub and Van Loan, Matrix Computations, fourth edition, 2013.

    LU, determinant        m·n² - n³/3 (m ≥ n); square: 2n³/3      section 3.2
    Cholesky, LDL          n³/3                                    section 4.2
    QR                     2·n²·(m - n/3), and as much for Q       section 5.2
    inverse                2n³
    triangular solve       n² a right-hand side; n·(n - 1) where the diagonal is one
    solve after factoring  2n² a right-hand side

Terms of lower order are left out. Eigenvalues, singular values, least squares by them and matrix exponentials take as
many steps as the values ask for: they are not counted, and said to be missing.
"""

from __future__ import annotations

from math import prod
from typing import Any

from flopsight.counted import Flops
from flopsight.torch.call import Call
from flopsight.torch.registry import Uncountable, formula, same


def _sides(matrix: Any) -> tuple[int, int, int]:
    """Batch, the longer and the shorter side."""
    rows, columns = matrix.shape[-2:]
    return prod(matrix.shape[:-2]), max(rows, columns), min(rows, columns)


def _lu(matrix: Any) -> int:
    batch, long, short = _sides(matrix)
    return batch * (3 * long * short**2 - short**3) // 3


@formula(
    "aten::linalg_lu_factor_ex", "aten::linalg_lu", "aten::_linalg_det", "aten::_linalg_slogdet",
    "aten::_lu_with_info",
)  # fmt: skip
def lu(call: Call) -> Flops:
    """LU with pivots; determinants are its diagonal."""
    return same(_lu(call.args[0]))


@formula("aten::linalg_cholesky_ex", "aten::cholesky", "aten::linalg_ldl_factor_ex")
def cholesky(call: Call) -> Flops:
    """A symmetric matrix's triangle."""
    batch, side, _ = _sides(call.args[0])
    return same(batch * side**3 // 3)


@formula("aten::geqrf")
def householder(call: Call) -> Flops:
    """R and the reflectors, without Q."""
    return same(_reflect(call.args[0]))


def _reflect(matrix: Any) -> int:
    batch, long, short = _sides(matrix)
    return batch * (6 * long * short**2 - 2 * short**3) // 3


@formula("aten::linalg_qr")
def qr(call: Call) -> Flops:
    """R, and Q of m by min(m, n) or, where it is complete, of m by m."""
    matrix, mode = call.args[0], call["mode"]
    first = _reflect(matrix)
    if mode == "r":
        return same(first)
    rows, columns = matrix.shape[-2:]
    made = rows if mode == "complete" else min(rows, columns)
    return same(first + prod(matrix.shape[:-2]) * _form(rows, made, min(rows, columns)))


def _form(rows: int, columns: int, reflectors: int) -> int:
    """The first columns of a product of reflectors (LAPACK's orgqr)."""
    k = reflectors
    return (12 * rows * columns * k - 6 * (rows + columns) * k**2 + 4 * k**3) // 3


@formula("aten::linalg_householder_product", "aten::orgqr")
def form_q(call: Call) -> Flops:
    """Q of given reflectors."""
    matrix, reflectors = call.args[0], call.args[1].shape[-1]
    return same(prod(matrix.shape[:-2]) * _form(matrix.shape[-2], matrix.shape[-1], reflectors))


@formula("aten::ormqr")
def apply_q(call: Call) -> Flops:
    """Reflectors times a matrix [m, n], from the left 2·n·k·(2m - k), from the right with m and n exchanged."""
    reflectors, (rows, columns) = call.args[1].shape[-1], call.args[2].shape[-2:]
    side, other = (rows, columns) if call["left"] else (columns, rows)
    return same(prod(call.args[2].shape[:-2]) * 2 * other * reflectors * (2 * side - reflectors))


@formula("aten::linalg_inv_ex")
def inverse(call: Call) -> Flops:
    """LU and as many solves as columns, zeros left out."""
    batch, side, _ = _sides(call.args[0])
    return same(2 * batch * side**3)


@formula("aten::cholesky_inverse")
def cholesky_inverse(call: Call) -> Flops:
    """The inverse from a triangle: that of the triangle and its square."""
    batch, side, _ = _sides(call.args[0])
    return same(2 * batch * side**3 // 3)


@formula("aten::_linalg_solve_ex")
def solve(call: Call) -> Flops:
    """LU, then two triangles for each right-hand side."""
    return same(_lu(call["A"]) + 2 * call["A"].shape[-1] * call.result.numel())


@formula("aten::linalg_lu_solve", "aten::linalg_ldl_solve")
def solve_factored(call: Call) -> Flops:
    """Two triangles for each right-hand side."""
    return same(2 * call.args[0].shape[-1] * call.result.numel())


@formula("aten::_cholesky_solve_helper", "aten::cholesky_solve")
def solve_symmetric(call: Call) -> Flops:
    """The same; the right-hand sides come first."""
    return same(2 * call.args[1].shape[-1] * call.result.numel())


@formula("aten::linalg_solve_triangular", "aten::triangular_solve")
def solve_triangle(call: Call) -> Flops:
    """One triangle for each right-hand side; a diagonal of ones needs no division."""
    side = (call.args[0] if "B" in call else call["A"]).shape[-1]
    return same((side - bool(call["unitriangular"])) * call.result.numel())


@formula(
    "aten::_linalg_eigh", "aten::linalg_eig", "aten::_linalg_eigvals", "aten::_linalg_svd", "aten::linalg_lstsq",
    "aten::linalg_matrix_exp", "aten::linalg_pinv", "aten::_spsolve", "aten::_compute_linear_combination",
    "prims::svd", "aten::matrix_exp_backward",
)  # fmt: skip
def iterative(call: Call) -> Any:
    """No exact number exists before it ran."""
    return Uncountable("it iterates until its values converge: no exact count exists")
