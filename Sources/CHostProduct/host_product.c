// y is computed by panels of 32 columns. Of W a panel of up to 256 rows is unpacked to floats, in the order in which it is
// read, and multiplied with 12 rows of x at a time, whose sums stay in registers. Each sum runs over 256 products and is then added to y, so
// a bit depends on nothing but whether a multiply-add rounds once or twice.

#include "include/host_product.h"

#include <string.h>

#include "threads.h"

// Functions of vectors that a processor may not have are all inlined: none is called by the rules of an ABI.
#pragma clang diagnostic ignored "-Wpsabi"

/// Columns of a panel and the length of a sum. 32 KiB: a panel stays in a core's first cache.
enum { PANEL = 32, DEPTH = 256 };

typedef float F16 __attribute__((vector_size(64)));
typedef uint32_t U16 __attribute__((vector_size(64)));
typedef int32_t I16 __attribute__((vector_size(64)));
typedef uint16_t S16 __attribute__((vector_size(32)));
typedef int8_t B16 __attribute__((vector_size(16)));

#if defined(__x86_64__)
#define SET sse2
#define TARGET target("sse2")
#define LANES 4
#define VECTORS 2
#define ROWS 6
#include "set.inc.h"
#define SET avx2
#define TARGET target("avx2,fma")
#define LANES 8
#define VECTORS 2
#define ROWS 6
#include "set.inc.h"
#define SET avx512
#define TARGET target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")
#define LANES 16
#define VECTORS 2
#define ROWS 12
#include "set.inc.h"
#else
// 32 registers of 128 bits, as Arm's have them.
#define SET plain
#define TARGET
#define LANES 4
#define VECTORS 4
#define ROWS 6
#include "set.inc.h"
#endif

typedef void (*block_function)(const host_product *, size_t row, size_t rows, size_t column, size_t columns);

static const struct {
    const char *name;
    bool fuses;
    block_function block;
} sets[] = {
#if defined(__x86_64__)
    {"SSE2", false, block_sse2}, {"AVX2", true, block_avx2}, {"AVX-512", true, block_avx512},
#else
    {"vectors of 128 bits", true, block_plain},
#endif
};

int host_instruction_sets(void) {
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    return wide ? 3 : 2;
#else
    return 1;
#endif
}

bool host_set_fuses(int set) { return sets[set].fuses; }
const char *host_set_name(int set) { return sets[set].name; }

typedef struct work {
    const host_product *product;
    block_function block;
    size_t rows, row_blocks;
} work;

static void run_job(void *context, size_t index) {
    const work *work = context;
    const host_product *product = work->product;
    const size_t column = index / work->row_blocks * PANEL, row = index % work->row_blocks * work->rows;
    const size_t columns = product->n - column < PANEL ? product->n - column : PANEL;
    const size_t rows = product->m - row < work->rows ? product->m - row : work->rows;
    work->block(product, row, rows, column, columns);
}

void host_product_run(const host_product *product, int set, int threads) {
    const size_t panels = (product->n + PANEL - 1) / PANEL;
    // Four jobs a thread even out; fewer rows than 48 a job would not repay unpacking W once more.
    size_t blocks = ((size_t)threads * 4 + panels - 1) / panels;
    if (blocks > product->m / 48) blocks = product->m / 48;
    if (blocks < 1 || threads < 2) blocks = 1;
    const size_t rows = ((product->m + blocks - 1) / blocks + 11) / 12 * 12;
    work work = {product, sets[set].block, rows, (product->m + rows - 1) / rows};
    host_parallel(panels * work.row_blocks, threads, run_job, &work);
}
