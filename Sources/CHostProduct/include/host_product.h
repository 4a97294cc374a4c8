// Matrix products by the processor's own instructions, for devices whose memory is the host's: y (m, n) = scale · (x·W + h·D) + plus.
#ifndef HOST_PRODUCT_H
#define HOST_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// How a factor lies in memory: a row-major matrix of floats, or a weight in tiles (Shaders/lib/weights.glsl).
typedef enum host_type {
    HOST_MATRIX,
    HOST_F32,
    HOST_F16,
    HOST_BF16,
    HOST_Q8_0,
    HOST_Q4_0,
    HOST_Q4_1,
    HOST_Q4_K,
    HOST_Q5_K,
    HOST_Q6_K,
} host_type;

/// The second factor, (k, n), or (n, k) where it is transposed.
typedef struct host_factor {
    host_type type;
    bool transposed;
    const void *values;
    /// Of a quantised weight, else NULL.
    const void *scales;
    /// Elements from row to row; of a weight its columns.
    size_t pitch;
} host_factor;

typedef struct host_product {
    size_t m, n, k;
    /// Element (i, p) lies at x[i·x_row + p·x_column].
    const float *x;
    size_t x_row, x_column;
    host_factor w;
    /// An adapter's part: h (m, rank) times a matrix. Rank 0: none.
    size_t rank;
    const float *h;
    size_t h_pitch;
    host_factor adapter;
    float scale;
    float *y;
    /// NULL, or what lies as y does and may be y.
    const float *plus;
    size_t y_pitch;
} host_product;

/// Instructions that products can use here, the widest last: 0 is what every processor of the kind has.
int host_instruction_sets(void);
/// Whether a set multiplies and adds in one rounding; that alone changes bits of a result.
bool host_set_fuses(int set);
const char *host_set_name(int set);
/// As many as processors that this process may run on.
int host_threads(void);

/// Computes y on so many threads, this one among them, and returns when it is there. No bit depends on their number.
void host_product_run(const host_product *product, int set, int threads);

#endif
