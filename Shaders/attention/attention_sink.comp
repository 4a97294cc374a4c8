// A learned score of each head, a sink, takes its part of the softmax behind attention and has no value: with L the log of the sum
// of the keys' exponentials, o = σ(L − sink)·o and L = log(exp(L) + exp(sink)). The backward of attention is right by these as it is.
// Xiao et al.: Efficient Streaming Language Models with Attention Sinks (2024); gpt-oss.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"

layout(constant_id = 2) const uint HEAD_SIZE = 64;

OUTPUT4(0, outputs);   // (N, heads · D)
layout(std430, binding = 1) writeonly buffer LseStorage { float lse[]; };       // (N, heads)
INPUT4(2, keyed);      // outputs itself, of the keys alone
layout(std430, binding = 3) readonly buffer KeyLseStorage { float keyLse[]; };  // (N, heads)
layout(std430, binding = 4) readonly buffer SinkStorage { float sinks[]; };     // (heads)

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;    // of these rows, heads · D / 4 each
    uint heads;
    uint firstRow;  // of these: a token and head
} push;

const uint D4 = HEAD_SIZE / 4;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        uint row = push.firstRow + i / D4;
        float keys = keyLse[row], sink = sinks[row % push.heads];
        float smaller = exp(-abs(keys - sink)), part = (keys < sink ? smaller : 1) / (1 + smaller);
        STORE4(outputs, i, part * LOAD4(keyed, i));
        if (i % D4 == 0) lse[row] = max(keys, sink) + log(1 + smaller);
    }
}
