// The first R numbers of every head turn in pairs, (a, b) → (a cos θ − b sin θ, b cos θ + a sin θ); the rest passes
// through. Pair j is (j, j + R/2), or (2j, 2j + 1) where INTERLEAVED. A row of the table holds R/2 cosines, then as many sines.
// Halves of whole vec4s turn four pairs at a time. All else turns one pair at a time (PAIRWISE), by single floats, which
// only storage buffers have. A lane writes only where it alone reads, so y may be x.
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint HEAD_SIZE = 64;     // D, a multiple of 4
layout(constant_id = 2) const uint ROTARY_SIZE = 64;   // R, even; 0 where nothing turns
layout(constant_id = 3) const bool INTERLEAVED = false;

const uint HEAD4 = HEAD_SIZE / 4;
const uint HALF = ROTARY_SIZE / 2;
const uint HALF4 = ROTARY_SIZE / 8;
const bool PAIRWISE = INTERLEAVED || ROTARY_SIZE % 8 != 0;

#define EACH(i, count) (uint i = gl_LocalInvocationID.x; i < (count); i += LANES)

// Rows begin at vec4s `xRow` and `yRow`, the token's angles at float `angles` of `table`.
#define ROTATE(y, yRow, x, xRow, table, angles, direction, heads)                                                     \
    if (PAIRWISE) ROTATE_PAIRS(y, yRow, x, xRow, table, angles, direction, heads)                                     \
    else if (ROTARY_SIZE > 0) ROTATE_RUNS(y, yRow, x, xRow, table, (angles) / 4, direction, heads)

#define ROTATE_RUNS(y, yRow, x, xRow, table, angles4, direction, heads)                                               \
    for EACH(i, (heads) * HALF4) {                                                                                    \
        uint part = i % HALF4, at = i / HALF4 * HEAD4 + part;                                                         \
        vec4 cosine = LOAD4(table, angles4 + part), sine = LOAD4(table, angles4 + HALF4 + part) * direction;          \
        vec4 x1 = LOAD4(x, xRow + at), x2 = LOAD4(x, xRow + at + HALF4);                                              \
        STORE4(y, yRow + at, x1 * cosine - x2 * sine);                                                                \
        STORE4(y, yRow + at + HALF4, x2 * cosine + x1 * sine);                                                        \
    }

// What does not turn, copied.
#define PASS(y, yRow, x, xRow, heads)                                                                                 \
    if (PAIRWISE) PASS_ONES(y, yRow, x, xRow, heads)                                                                  \
    else if (HEAD4 > 2 * HALF4)                                                                                       \
        for EACH(i, (heads) * (HEAD4 - 2 * HALF4)) {                                                                  \
            uint at = i / (HEAD4 - 2 * HALF4) * HEAD4 + 2 * HALF4 + i % (HEAD4 - 2 * HALF4);                          \
            STORE4(y, yRow + at, LOAD4(x, xRow + at));                                                                \
        }

#if defined(FAMILY_TEXEL)
#define ROTATE_PAIRS(y, yRow, x, xRow, table, angles, direction, heads) {}
#define PASS_ONES(y, yRow, x, xRow, heads) {}
#else
#define ONE(x, i) x[(i) / 4][(i) % 4]
#define ROTATE_PAIRS(y, yRow, x, xRow, table, angles, direction, heads)                                               \
    for EACH(i, (heads) * HALF) {                                                                                     \
        uint j = i % HALF, a = i / HALF * HEAD_SIZE + (INTERLEAVED ? 2 * j : j), b = a + (INTERLEAVED ? 1 : HALF);    \
        float cosine = ONE(table, (angles) + j), sine = ONE(table, (angles) + HALF + j) * direction;                  \
        float x1 = ONE(x, 4 * (xRow) + a), x2 = ONE(x, 4 * (xRow) + b);                                               \
        ONE(y, 4 * (yRow) + a) = x1 * cosine - x2 * sine;                                                             \
        ONE(y, 4 * (yRow) + b) = x2 * cosine + x1 * sine;                                                             \
    }
#define PASS_ONES(y, yRow, x, xRow, heads)                                                                            \
    for EACH(i, (heads) * (HEAD_SIZE - ROTARY_SIZE)) {                                                                \
        uint at = i / (HEAD_SIZE - ROTARY_SIZE) * HEAD_SIZE + ROTARY_SIZE + i % (HEAD_SIZE - ROTARY_SIZE);            \
        ONE(y, 4 * (yRow) + at) = ONE(x, 4 * (xRow) + at);                                                            \
    }
#endif
