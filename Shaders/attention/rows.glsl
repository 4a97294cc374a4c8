// Grouped-query attention sees q (tokens, heads · D) as rows of one key/value head: row = token · GROUP_SIZE + head in the
// group.
layout(constant_id = 1) const uint HEAD_SIZE = 64;
layout(constant_id = 2) const uint GROUP_SIZE = 3;     // query heads per key/value head

const uint D4 = HEAD_SIZE / 4;

const float LOG2E = 1.4426950408889634;
const float LN2 = 0.6931471805599453;

// Where a row's vec4s begin: a query row of (tokens, kvHeads, GROUP_SIZE, D), a key of (tokens, kvHeads, D).
uint queryRow(uint row, uint kvHead, uint kvHeads) {
    return ((row / GROUP_SIZE * kvHeads + kvHead) * GROUP_SIZE + row % GROUP_SIZE) * D4;
}
uint keyRow(uint row, uint kvHead, uint kvHeads) { return (row * kvHeads + kvHead) * D4; }
