// How much an expert counts by its logit l: SIGMOID scale·σ(l), else exp(l)/Σ over all; NORMALISED divided by their sum over the chosen.
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 1) const bool SIGMOID = false;
layout(constant_id = 2) const bool NORMALISED = false;

layout(push_constant) uniform Push {
    uint groupBase;
    uint tokens, experts, used, pitch;
    float scale;
} push;

const float LEAST_SUM = 1e-6;  // added to the sum of sigmoids

float sigmoid(float l) {
    float e = exp(-abs(l));
    return (l >= 0 ? 1 : e) / (1 + e);
}
