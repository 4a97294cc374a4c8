// A number of the gradient as the optimizer takes it. Include after the bindings `gradients` and, with RATES EACH, `rates`.
float clipped(uint i) {
#ifdef RATES_EACH
    if (rates[i] == 0) return 0; // what is frozen may have any gradient
#endif
    return gradients[i] * result.clipFactor;
}
