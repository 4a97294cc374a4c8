// Small dense factorisations by Eigen, in f64 inside. Matrices are row-major. Each returns false where the sizes make no sense,
// a value is not finite, or memory is short.
#ifndef LORAVK_CEIGEN_H
#define LORAVK_CEIGEN_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Makes the rows of a (rows, columns) orthonormal in place, each within the span of those up to it: aᵀ = Q·R, a becomes Qᵀ.
/// rows ≤ columns.
bool eigen_orthonormal_rows(float *a, int rows, int columns);

/// The first `rank` singular triplets of a (rows, columns), largest first: u (rows, rank), s (rank), vt (rank, columns).
/// From the eigenvectors of the smaller Gram matrix.
bool eigen_svd(const float *a, int rows, int columns, int rank, float *u, float *s, float *vt);

#ifdef __cplusplus
}
#endif

#endif
