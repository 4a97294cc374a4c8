// Rows × columns of y, whose sums stay in registers.

#define UNROLLED _Pragma("clang loop unroll(full)")

/// y = scale · x (rows, k)·panel (k, VECTORS·LANES) + plus, of which `columns` are there.
INLINED void NAME(tile)(
    const int rows, size_t k, const float *x, size_t x_row, size_t x_column, const float *panel, float scale,
    const float *plus, float *y, size_t y_pitch, size_t columns) {
    V sums[ROWS][VECTORS];
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < VECTORS; v++) sums[r][v] = (V){};
    // Rows by threes share a pointer: their distance is a factor of an address.
    const float *at[(ROWS + 2) / 3];
    UNROLLED for (int g = 0; g < (rows + 2) / 3; g++) at[g] = x + (size_t)g * 3 * x_row;
    for (size_t p = 0; p < k; p++) {
        V w[VECTORS];
        UNROLLED for (int v = 0; v < VECTORS; v++) w[v] = *(const V *)(panel + v * LANES);
        UNROLLED for (int r = 0; r < rows; r++) {
            const float value = at[r / 3][(size_t)(r % 3) * x_row];
            UNROLLED for (int v = 0; v < VECTORS; v++) sums[r][v] += value * w[v];
        }
        UNROLLED for (int g = 0; g < (rows + 2) / 3; g++) at[g] += x_column;
        panel += PANEL;
    }
    if (columns >= VECTORS * LANES) {
        UNROLLED for (int r = 0; r < rows; r++) {
            UNROLLED for (int v = 0; v < VECTORS; v++) {
                UNALIGNED(V) *to = (UNALIGNED(V) *)(y + (size_t)r * y_pitch + v * LANES);
                V value = sums[r][v] * scale;
                if (plus) value += *(const UNALIGNED(V) *)(plus + (size_t)r * y_pitch + v * LANES);
                *to = value;
            }
        }
        return;
    }
    UNROLLED for (int r = 0; r < rows; r++) {
        float row[VECTORS * LANES];
        memcpy(row, sums[r], sizeof row);
        for (size_t c = 0; c < columns; c++) {
            const size_t i = (size_t)r * y_pitch + c;
            y[i] = row[c] * scale + (plus ? plus[i] : 0);
        }
    }
}

#undef UNROLLED
