// The gradient of a loss of a classifier's scores z (n, K), a row an invocation, times the step's loss scale.
//   LABEL    −log softmax(z)[t]                        softmax(z) − onehot(t)
//   LABELS   mean of log(1 + exp(z)) − t·z             (σ(z) − t)/K
//   NUMBERS  mean of (z − t)²                          2·(z − t)/K
//   PAIR     −log σ(h) + c·(z₀ + z₁)², h = z₀ − z₁ − margin, of rows 2p and 2p + 1: ∓σ(−h) + 2c·(z₀ + z₁)
// A row whose target is negative is padding and gets zeros, as do columns from K on.
#version 450
#include "lib/step_state.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 1) const uint LOSS = 0; // LABEL, LABELS, NUMBERS, PAIR

layout(std430, binding = 0) writeonly buffer Gradient { float gradient[]; }; // (n, Kp)
layout(std430, binding = 1) readonly buffer Scores { float scores[]; };      // (n, Kp)
layout(std430, binding = 2) readonly buffer Targets { int targets[]; };      // (n), of LABEL the classes
layout(std430, binding = 3) readonly buffer Values { float values[]; };      // (n, K): t, or of a pair the margin
STEP_STATE(4);

layout(push_constant) uniform Push {
    uint groupBase;
    uint rows;
    uint outputs; // K
    uint pitch;   // Kp
    float centre; // c
} push;

float sigmoid(float x) { return 1 / (1 + exp(-x)); }

void main() {
    uint row = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x;
    if (row >= push.rows) return;
    uint first = row * push.pitch;
    int target = targets[row];
    float scale = target < 0 ? 0.0 : state.lossScale;
    for (uint k = push.outputs; k < push.pitch; ++k) gradient[first + k] = 0;

    if (LOSS == 0) {
        float largest = scores[first], sum = 0;
        for (uint k = 1; k < push.outputs; ++k) largest = max(largest, scores[first + k]);
        for (uint k = 0; k < push.outputs; ++k) sum += exp(scores[first + k] - largest);
        for (uint k = 0; k < push.outputs; ++k) {
            float probability = exp(scores[first + k] - largest) / sum;
            gradient[first + k] = (probability - (k == uint(target) ? 1.0 : 0.0)) * scale;
        }
    } else if (LOSS == 3) {
        uint even = row & ~1u;
        float z0 = scores[even * push.pitch], z1 = scores[(even + 1) * push.pitch];
        float slope = sigmoid(-(z0 - z1 - values[even]));
        gradient[first] = ((row == even ? -slope : slope) + 2 * push.centre * (z0 + z1)) * scale;
    } else {
        scale /= float(push.outputs);
        for (uint k = 0; k < push.outputs; ++k) {
            float z = scores[first + k], t = values[row * push.outputs + k];
            gradient[first + k] = (LOSS == 1 ? sigmoid(z) - t : 2 * (z - t)) * scale;
        }
    }
}
