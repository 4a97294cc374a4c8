#version 450
// y = x·W_eᵀ (NT) or dx = dy·W_e (NN), each row by the frozen weight of its expert e, on devices whose fast memory is the registers. Rows
// lie expert by expert; `tiles` says which rows a workgroup has, all of one expert's. The weights W_e lie behind each other.
// With GATHERED, x has a row a token instead of a row a place.
//! variants OP = NT NN
//! variants FAMILY = TEXEL SUBGROUP
//! variants WEIGHT = F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K MXFP4
#extension GL_GOOGLE_include_directive : require
#define A_ROWS
#define WEIGHT_BINDING 5
#include "lib/load.glsl"
#include "lib/weights.glsl"
#include "experts/rows.glsl"
#include "lib/register_tile.glsl"

layout(constant_id = 6) const bool GATHERED = false;

INPUT4(2, x);

uint column4[GROUPS];  // this lane's runs of columns, inside W

// The four rows of b from k = 4·k4: in NT columns of Wᵀ, which are W's rows, are read and turned.
void place(uint step, uint g, vec4 rows[4]) {
#if defined(OP_NT)
    EACH(k, 4) b[step * 4 + k][g] = vec4(rows[0][k], rows[1][k], rows[2][k], rows[3][k]);
#else
    EACH(k, 4) b[step * 4 + k][g] = rows[k];
#endif
}

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase;
    uint N4 = push.N / 4, K4 = push.K / 4, across = (N4 + COLUMNS4 - 1) / COLUMNS4;
    if (!findRows(group / across)) return;
    uint column = group % across * COLUMNS4 + gl_SubgroupInvocationID;
    EACH(g, GROUPS) column4[g] = min(column + g * LANES, N4 - 1);
    clear();

    uint xAt[A_LOADS], at[GROUPS];
    EACH(i, A_LOADS) xAt[i] = (GATHERED ? tokenOf(aUnit(i) % ROWS) : rowOf(aUnit(i) % ROWS)) * push.xStride;
#if defined(OP_NT)
    EACH(g, GROUPS) at[g] = expert * N4 * K4 + column4[g] * K4;
#else
    EACH(g, GROUPS) at[g] = expert * N4 * K4 + column4[g];
#endif

    uint k4 = 0;
    do {
        EACH(i, A_LOADS) {
            uint k = k4 + aUnit(i) / ROWS;
            a[i] = LOAD4(x, xAt[i] + (STEPS > 1 ? min(k, K4 - 1) : k));
            if (STEPS > 1) a[i] *= float(k < K4);
        }
        EACH(u, STEPS) EACH(g, GROUPS) {
            uint step = STEPS > 1 ? min(u, K4 - 1 - k4) : 0;
            vec4 rows[4];
#if defined(OP_NT)
            loadTile(at[g] + step, (expert * N4 + column4[g]) * (K4 / 8) + (k4 + step) / 8, rows);
#else
            loadTile(at[g] + step * N4, (expert * K4 + k4 + step) * (N4 / 8) + column4[g] / 8, rows);
#endif
            place(u, g, rows);
        }
        multiply();
#if defined(OP_NT)
        EACH(g, GROUPS) at[g] += STEPS;
#else
        EACH(g, GROUPS) at[g] += STEPS * N4;
#endif
        k4 += STEPS;
    } while (k4 < K4);
    store(firstRow, column);
}
