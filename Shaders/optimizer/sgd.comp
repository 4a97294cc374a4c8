// Gradient descent with momentum over a flat range of parameters, the clipped gradient g·clipFactor: p −= lr·wd·p;
// b = μ·b + g;  p −= lr·b, or lr·(g + μ·b) with Nesterov's look ahead. Nothing changes in a skipped step. With RATES EACH every
// parameter multiplies lr by a number of its own. torch.optim.SGD; Sutskever et al. 2013.
#version 450
//! variants FAMILY = TEXEL SHARED
//! variants RATES = ONE EACH
#include "lib/load.glsl"
#include "lib/stripe.glsl"
#include "lib/step_state.glsl"

// Each input of these two is the output's own memory.
OUTPUT4(0, newParameters);
OUTPUT4(1, newMomentum);
INPUT4(2, parameters);
INPUT4(3, momentum);
INPUT4(4, gradients);
OPTIMIZER_STATE(5, float momentumFactor; float ahead;); // ahead: 1 with Nesterov, else 0
STEP_RESULT(6, readonly);
#ifdef RATES_EACH
INPUT4(7, rates);
#endif

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
} push;

void main() {
    if (result.skipped != 0) return;
    float rate = state.learningRate;
    float decayRate = state.learningRate * state.weightDecay;
    float factor = state.momentumFactor;
    bool isAhead = state.ahead != 0;
    float clip = result.clipFactor;

    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        vec4 g = LOAD4(gradients, i) * clip;
#ifdef RATES_EACH
        vec4 multiplier = LOAD4(rates, i);
        g = mix(g, vec4(0), equal(multiplier, vec4(0))); // what is frozen may have any gradient
#else
        const float multiplier = 1.0;
#endif
        vec4 velocity = factor * LOAD4(momentum, i) + g;
        STORE4(newMomentum, i, velocity);
        vec4 update = isAhead ? g + factor * velocity : velocity;
        STORE4(newParameters, i,
            (1.0 - multiplier * decayRate) * LOAD4(parameters, i) - multiplier * rate * update);
    }
}
