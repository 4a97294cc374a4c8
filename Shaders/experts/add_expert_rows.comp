// y[place] += b[e], e the expert of a place: the bias of an expert's matrix.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"

OUTPUT4(0, y);     // (S, F), by place
INPUT4(1, old);    // y itself
INPUT4(2, b);      // (E, F)
layout(std430, binding = 3) readonly buffer OrderStorage { int order[]; };      // (S): the slot at each place
layout(std430, binding = 4) readonly buffer ExpertStorage { int experts[]; };   // (S), of each slot

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;      // of these rows of y, F / 4 each
    uint width4;
    uint firstPlace;  // of these rows
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        uint row = i / push.width4, column = i - row * push.width4;
        uint expert = uint(experts[order[push.firstPlace + row]]);
        STORE4(y, i, LOAD4(old, i) + LOAD4(b, expert * push.width4 + column));
    }
}
