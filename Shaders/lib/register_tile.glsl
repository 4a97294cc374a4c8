// One subgroup keeps a tile of c = a·b in registers: ROWS rows, and in each lane GROUPS runs of 4 columns. Per step of
// 4·STEPS along k every operand is fetched first, then multiplied; an element of a reaches all lanes by a shuffle from a
// constant lane, one instruction on a software rasteriser. Every loop but that over k is unrolled: arrays are registers.
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint ROWS = 32;
layout(constant_id = 2) const uint GROUPS = 2;
layout(constant_id = 3) const uint STEPS = 1;
layout(constant_id = 4) const bool TRANSPOSED = false;  // y is (n, m)
layout(constant_id = 5) const bool ACCUMULATE = false;  // y = oldY + … instead of y = …
layout(constant_id = 8) const bool SUMMED = false;      // a step's products are summed before they reach c

#if !defined(OWN_PUSH)
layout(push_constant) uniform Push {
    uint groupBase;
    uint M, N, K, R;
    uint xStride, xOffset, wStride, wOffset, yStride, yOffset, hStride, hOffset;  // row to row, first column; in runs of four floats
    float scale;
} push;
#endif
#if !defined(ROW_END)
#define ROW_END push.M  // behind the last row of y, where it is not TRANSPOSED
#endif

OUTPUT4(0, y);
INPUT4(1, oldY);  // what is added to: y once more, since a formatted load is the fast one, or another tensor that lies as it does

const uint COLUMNS4 = LANES * GROUPS;
const uint A_LOADS = (ROWS * STEPS + LANES - 1) / LANES;

#define EACH(i, count) [[unroll]] for (uint i = 0; i < count; i++)

vec4 a[A_LOADS];            // spread over the lanes
vec4 b[STEPS * 4][GROUPS];  // this lane's columns
vec4 c[ROWS][GROUPS];

// What a lane fetches of a in its load i. A_ROWS, a lies (m, k): row unit % ROWS, k from 4·(unit / ROWS).
// A_COLUMNS, a lies (k, m): columns from 4·(unit % (ROWS/4)), k = unit / (ROWS/4).
uint aUnit(uint i) { return min(i * LANES + gl_SubgroupInvocationID, ROWS * STEPS - 1); }

void clear() {
    EACH(m, ROWS) EACH(g, GROUPS) c[m][g] = vec4(0);
}

float broadcastA(uint m, uint k) {
#if defined(A_ROWS)
    uint unit = k / 4 * ROWS + m;
    return subgroupShuffle(a[unit / LANES][k % 4], unit % LANES);
#else
    uint unit = k * (ROWS / 4) + m / 4;
    return subgroupShuffle(a[unit / LANES][m % 4], unit % LANES);
#endif
}

void multiply() {
    EACH(m, ROWS) {
        if (SUMMED) {
            vec4 sum[GROUPS];
            EACH(k, STEPS * 4) {
                float s = broadcastA(m, k);
                EACH(g, GROUPS) sum[g] = k == 0 ? s * b[k][g] : sum[g] + s * b[k][g];
            }
            EACH(g, GROUPS) c[m][g] += sum[g];
        } else {
            EACH(k, STEPS * 4) {
                float s = broadcastA(m, k);
                EACH(g, GROUPS) c[m][g] += s * b[k][g];
            }
        }
    }
}

// c = scale · c (+ what y holds). Arithmetic straight behind the loop over k would keep every sum twice in that loop, as part
// of a vector and alone, which halves the speed on lavapipe. A loop that no compiler can see through parts the two.
void finish(uint row, uint column) {
    do {
        if (TRANSPOSED) {
            EACH(m, ROWS / 4) EACH(g, GROUPS) EACH(j, 4) {
                uint n = min((column + g * LANES) * 4 + j, push.N - 1), m4 = min(row / 4 + m, push.M / 4 - 1);
                vec4 old = ACCUMULATE ? LOAD4(oldY, n * push.yStride + push.yOffset + m4) : vec4(0);
                EACH(r, 4) c[m * 4 + r][g][j] = c[m * 4 + r][g][j] * push.scale + old[r];
            }
        } else {
            EACH(m, ROWS) EACH(g, GROUPS) {
                uint n4 = min(column + g * LANES, push.N / 4 - 1), at = min(row + m, ROW_END - 1);
                vec4 old = ACCUMULATE ? LOAD4(oldY, at * push.yStride + push.yOffset + n4) : vec4(0);
                c[m][g] = c[m][g] * push.scale + old;
            }
        }
    } while (push.M == 0);
}

// column is this lane's first run of four.
void store(uint row, uint column) {
    finish(row, column);
    if (TRANSPOSED) {
        EACH(m, ROWS / 4) EACH(g, GROUPS) EACH(j, 4) {
            uint n = (column + g * LANES) * 4 + j;
            if (row + m * 4 < push.M && n < push.N)
                STORE4(y, n * push.yStride + push.yOffset + row / 4 + m,
                       vec4(c[m * 4][g][j], c[m * 4 + 1][g][j], c[m * 4 + 2][g][j], c[m * 4 + 3][g][j]));
        }
    } else {
        EACH(m, ROWS) EACH(g, GROUPS) {
            uint n4 = column + g * LANES;
            if (row + m < ROW_END && n4 * 4 < push.N) STORE4(y, (row + m) * push.yStride + push.yOffset + n4, c[m][g]);
        }
    }
}
