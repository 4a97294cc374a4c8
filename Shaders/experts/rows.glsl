// The rows that a workgroup of an expert product has: a tile of the list, as far as it lies among the rows of y that are bound.
#define OWN_PUSH
#define ROW_END rowEnd

layout(push_constant) uniform Push {
    uint groupBase;
    uint M, N, K;             // M: rows of y that are bound
    uint firstPlace;          // the place of the first of them
    uint firstExpert, experts;  // whose weights are bound
    uint used;                // slots of a token
    uint xStride, yStride, yOffset;  // row to row, first column; in runs of four floats
    float scale;
} push;

layout(std430, binding = 3) readonly buffer TileStorage { uvec4 tiles[]; };   // (expert, first place, end)
layout(std430, binding = 4) readonly buffer OrderStorage { uint order[]; };   // the slot at each place

uint expert;             // among those that are bound
uint firstRow, rowEnd;   // of y; firstRow may lie before row 0, where it is a very large number

bool findRows(uint tile) {
    uvec4 rows = tiles[tile];
    expert = rows.x - push.firstExpert;
    int first = int(rows.y - push.firstPlace), end = min(int(rows.z - push.firstPlace), int(push.M));
    firstRow = uint(first);
    rowEnd = uint(end);
    return expert < push.experts && first < end && end > 0;
}

// Row m of the tile, or the last one.
uint rowOf(uint m) { return min(firstRow + m, rowEnd - 1); }
uint tokenOf(uint m) { return order[push.firstPlace + rowOf(m)] / push.used; }
