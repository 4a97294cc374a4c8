/* A status that is not success ends the program with its text. */
#ifndef CHECK_H
#define CHECK_H

#include <loravk.h>

#include <stdio.h>
#include <stdlib.h>

static void check(loravk_status status) {
    if (status == LORAVK_OK) return;
    fprintf(stderr, "%s: %s\n", loravk_status_name(status), loravk_last_error());
    exit(1);
}

#endif
