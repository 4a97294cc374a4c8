// What a token's experts gave, together again: y[n] (+)= Σ_j s[n, j]·x[place of slot (n, j)], without WEIGHTED s = 1. The sum runs in
// the order of the slots. Places larger than one binding come in spans, a dispatch a span.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"

layout(constant_id = 2) const bool WEIGHTED = false;
layout(constant_id = 3) const bool ACCUMULATE = false;

OUTPUT4(0, y);       // (N, C)
INPUT4(1, old);      // y itself
INPUT4(2, x);        // (S, C), by place
layout(std430, binding = 3) readonly buffer PlaceStorage { int places[]; };    // (N, used)
layout(std430, binding = 4) readonly buffer ScoreStorage { float scores[]; };

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;    // of these rows of y, C / 4 each
    uint width4;
    uint used;
    uint firstToken;           // of these rows
    uint firstPlace, spanPlaces;
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        uint row = i / push.width4, column = i - row * push.width4;
        vec4 sum = ACCUMULATE ? LOAD4(old, i) : vec4(0);
        for (uint j = 0; j < push.used; j++) {
            uint slot = (push.firstToken + row) * push.used + j;
            uint place = uint(places[slot]) - push.firstPlace; // before the span: too large a number
            if (place >= push.spanPlaces) continue;
            vec4 four = LOAD4(x, place * push.width4 + column);
            sum += WEIGHTED ? scores[slot] * four : four;
        }
        STORE4(y, i, sum);
    }
}
