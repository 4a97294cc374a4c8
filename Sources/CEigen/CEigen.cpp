#include "CEigen.h"

#define EIGEN_MPL2_ONLY
#include <eigen3/Eigen/Dense>

namespace {
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using FloatMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// An exception must not leave C.
template <typename Body> bool guarded(Body body) {
    try {
        return body();
    } catch (...) {
        return false;
    }
}
} // namespace

extern "C" bool eigen_orthonormal_rows(float *a, int rows, int columns) {
    if (rows < 1 || rows > columns) return false;
    return guarded([&] {
        Eigen::Map<FloatMatrix> map(a, rows, columns);
        Eigen::MatrixXd transposed = map.transpose().cast<double>();
        if (!transposed.allFinite()) return false;
        Eigen::HouseholderQR<Eigen::MatrixXd> qr(transposed);
        Eigen::MatrixXd q = qr.householderQ() * Eigen::MatrixXd::Identity(columns, rows);
        map = q.transpose().cast<float>();
        return true;
    });
}

extern "C" bool eigen_svd(const float *a, int rows, int columns, int rank, float *u, float *s, float *vt) {
    int smaller = rows < columns ? rows : columns;
    if (rank < 1 || rank > smaller) return false;
    return guarded([&] {
        Matrix w = Eigen::Map<const FloatMatrix>(a, rows, columns).cast<double>();
        if (!w.allFinite()) return false;
        bool wide = rows < columns;
        Eigen::MatrixXd gram(smaller, smaller);
        gram.setZero();
        if (wide)
            gram.selfadjointView<Eigen::Lower>().rankUpdate(w);
        else
            gram.selfadjointView<Eigen::Lower>().rankUpdate(w.transpose());
        Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(gram);
        if (solver.info() != Eigen::Success) return false;
        // Eigenvalues come smallest first.
        Eigen::MatrixXd inner = solver.eigenvectors().rightCols(rank).rowwise().reverse();
        Eigen::MatrixXd outer = wide ? Eigen::MatrixXd(w.transpose() * inner) : Eigen::MatrixXd(w * inner);
        Eigen::VectorXd values = outer.colwise().norm();
        for (int i = 0; i < rank; ++i)
            if (values(i) > 0) outer.col(i) /= values(i);
        const Eigen::MatrixXd &left = wide ? inner : outer, &right = wide ? outer : inner;
        Eigen::Map<FloatMatrix>(u, rows, rank) = left.cast<float>();
        Eigen::Map<Eigen::VectorXf>(s, rank) = values.cast<float>();
        Eigen::Map<FloatMatrix>(vt, rank, columns) = right.transpose().cast<float>();
        return true;
    });
}
