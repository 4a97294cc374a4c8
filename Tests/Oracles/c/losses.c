/* Prints the losses of a session, for processes that run side by side. usage: losses MODEL */
#include "session.h"

int main(int argc, char **argv) {
    double losses[STEPS];
    int step;
    if (argc != 2) return 2;
    train_alone(argv[1], losses);
    for (step = 0; step < STEPS; ++step) printf("%a\n", losses[step]);
    return 0;
}
