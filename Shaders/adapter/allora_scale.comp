// ALLoRA's step sizes, a row a lane: each row of the gradient dB times 1/√(‖row of B‖ + 1/η²), so that rows which have
// moved far move slower. Huang & Balestriero 2024, ALLoRA: Adaptive Learning Rate Mitigates LoRA Fatal Flaws.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;

OUTPUT4(0, scaled); // (O, R)
INPUT4(1, gradient);                                                    // the same memory
INPUT4(2, loraB);                                                       // (O, R)

layout(push_constant) uniform Push {
    uint groupBase;
    uint rows;
    uint rank4;   // R / 4
    float offset; // 1/η²
} push;

void main() {
    uint row = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x;
    if (row >= push.rows) return;
    float squares = 0.0;
    uint end = (row + 1) * push.rank4;
    for (uint i = row * push.rank4; i < end; ++i) squares += dot(LOAD4(loraB, i), LOAD4(loraB, i));
    float factor = inversesqrt(sqrt(squares) + push.offset);
    for (uint i = row * push.rank4; i < end; ++i) STORE4(scaled, i, factor * LOAD4(gradient, i));
}
