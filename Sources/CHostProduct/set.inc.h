// The products of one instruction set. Defined before: SET, its name; TARGET, for the compiler; LANES of a vector of floats; a tile
// of ROWS rows by VECTORS vectors, whose sums fit its registers.
#define JOIN(a, b) a##_##b
#define JOIN2(a, b) JOIN(a, b)
#define NAME(x) JOIN2(x, SET)
typedef float NAME(vector) __attribute__((vector_size(LANES * 4)));
typedef float NAME(unaligned) __attribute__((vector_size(LANES * 4), aligned(4)));
#define V NAME(vector)
#define ON_TARGET __attribute__((TARGET))
#define INLINED __attribute__((always_inline, TARGET)) static inline
#define UNALIGNED(v) NAME(unaligned)
#include "tile.inc.h"
#include "weights.inc.h"

/// Up to ROWS rows of y by one panel.
ON_TARGET static void NAME(rows)(
    size_t rows, size_t k, const float *x, size_t x_row, size_t x_column, const float *panel, float scale,
    const float *plus, float *y, size_t y_pitch, size_t columns) {
    switch (rows) {
#define CASE(count)                                                                                           \
    case count:                                                                                              \
        for (size_t c = 0; c < columns; c += VECTORS * LANES)                                                \
            NAME(tile)(                                                                                      \
                count, k, x, x_row, x_column, panel + c, scale, plus ? plus + c : NULL, y + c, y_pitch,      \
                columns - c);                                                                                \
        return;
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
#if ROWS > 6
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
#endif
#undef CASE
    }
}

/// Columns of y, no more than a panel has, of some rows.
ON_TARGET static void NAME(block)(
    const host_product *product, size_t row, size_t rows, size_t column, size_t columns) {
    _Alignas(64) float panel[DEPTH * PANEL];
    float *y = product->y + row * product->y_pitch + column;
    const float *plus = product->plus ? product->plus + row * product->y_pitch + column : NULL;
    for (int part = 0; part < 2; part++) {
        const bool adapter = part == 1;
        const size_t k = adapter ? product->rank : product->k;
        for (size_t p = 0; p < k; p += DEPTH) {
            const size_t depth = k - p < DEPTH ? k - p : DEPTH;
            NAME(pack)(adapter ? &product->adapter : &product->w, p, depth, column, columns, panel);
            const size_t x_row = adapter ? product->h_pitch : product->x_row;
            const size_t x_column = adapter ? 1 : product->x_column;
            const float *x = (adapter ? product->h : product->x) + row * x_row + p * x_column;
            for (size_t r = 0; r < rows; r += ROWS)
                NAME(rows)(
                    rows - r < ROWS ? rows - r : ROWS, depth, x + r * x_row, x_row, x_column, panel,
                    product->scale, plus ? plus + r * product->y_pitch : NULL, y + r * product->y_pitch,
                    product->y_pitch, columns);
            plus = y;
        }
    }
}
#undef V
#undef ON_TARGET
#undef INLINED
#undef UNALIGNED
#undef NAME
#undef JOIN
#undef JOIN2
#undef SET
#undef TARGET
#undef LANES
#undef VECTORS
#undef ROWS
