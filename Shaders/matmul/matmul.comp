#version 450
// y = x·Wᵀ (NT) or dx = dy·W (NN) for a frozen weight W (out, in), on devices whose fast memory is the registers; with
// RANK_TERM also + h·Bᵀ or + g·A in the same pass: the adapter's rank as further columns of k.
//! variants OP = NT NN
//! variants FAMILY = TEXEL SUBGROUP
//! variants WEIGHT = F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K
#extension GL_GOOGLE_include_directive : require
#define A_ROWS
#define WEIGHT_BINDING 5
#include "lib/load.glsl"
#include "lib/weights.glsl"
#include "lib/register_tile.glsl"

layout(constant_id = 6) const bool TILED = true;  // an f32 W may also lie row by row, as activations and adapters do
layout(constant_id = 7) const bool RANK_TERM = false;
layout(constant_id = 9) const bool COLUMNS_FIRST = false;  // neighbouring workgroups share rows of x, not columns of W

INPUT4(2, x);
INPUT4(3, h);        // (M, R), perhaps columns of a wider matrix
INPUT4(4, adapter);  // NT: (N, R), NN: (R, N)

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
    uint N4 = (push.N + 3) / 4, K4 = push.K / 4, R4 = push.R / 4;
    uint down = (push.M + ROWS - 1) / ROWS, across = (N4 + COLUMNS4 - 1) / COLUMNS4;
    uint row = (COLUMNS_FIRST ? group / across : group % down) * ROWS;
    uint column = (COLUMNS_FIRST ? group % across : group / down) * COLUMNS4 + gl_SubgroupInvocationID;
    EACH(g, GROUPS) column4[g] = min(column + g * LANES, N4 - 1);
    // Values pushed are read anew in every round unless they are copied first.
    uint wStride = push.wStride;
    clear();

    uint xAt[A_LOADS], at[GROUPS], rowAt[GROUPS][4];
    EACH(i, A_LOADS)
        xAt[i] = min(row + aUnit(i) % ROWS, push.M - 1) * push.xStride + push.xOffset;
#if defined(OP_NT)
    EACH(g, GROUPS) at[g] = column4[g] * K4;
    EACH(g, GROUPS) EACH(j, 4) rowAt[g][j] = min(column4[g] * 4 + j, push.N - 1) * push.wStride + push.wOffset;
#else
    EACH(g, GROUPS) at[g] = column4[g];
    EACH(g, GROUPS) EACH(j, 4) rowAt[g][j] = j * push.wStride + push.wOffset + column4[g];
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
            uint tile = at[g] + step, scale = column4[g] * (K4 / 8) + (k4 + step) / 8, rowStep = step;
#else
            uint tile = at[g] + step * N4, scale = (k4 + step) * (N4 / 8) + column4[g] / 8;
            uint rowStep = step * 4 * wStride;
#endif
#if defined(WEIGHT_F32)
            if (!TILED) EACH(j, 4) rows[j] = LOAD4(weightRows, rowAt[g][j] + rowStep);
            else
#endif
            loadTile(tile, scale, rows);
            place(u, g, rows);
        }
        multiply();
#if defined(OP_NT)
        EACH(g, GROUPS) at[g] += STEPS;
        EACH(g, GROUPS) EACH(j, 4) rowAt[g][j] += STEPS;
#else
        EACH(g, GROUPS) at[g] += STEPS * N4;
        EACH(g, GROUPS) EACH(j, 4) rowAt[g][j] += STEPS * 4 * wStride;
#endif
        k4 += STEPS;
    } while (k4 < K4);
    if (RANK_TERM) {
        EACH(i, A_LOADS) xAt[i] = min(row + aUnit(i) % ROWS, push.M - 1) * push.hStride + push.hOffset;
        uint r4 = 0;
        do {
            EACH(i, A_LOADS) {
                uint r = r4 + aUnit(i) / ROWS;
                a[i] = LOAD4(h, xAt[i] + min(r, R4 - 1));
                if (STEPS > 1) a[i] *= float(r < R4);
            }
            EACH(u, STEPS) EACH(g, GROUPS) {
                uint r = min(r4 + u, R4 - 1);
                vec4 rows[4];
#if defined(OP_NT)
                EACH(j, 4) rows[j] = LOAD4(adapter, (column4[g] * 4 + j) * R4 + r);
#else
                EACH(j, 4) rows[j] = LOAD4(adapter, (r * 4 + j) * N4 + column4[g]);
#endif
                place(u, g, rows);
            }
            multiply();
            r4 += STEPS;
        } while (r4 < R4);
    }
    store(row, column);
}
