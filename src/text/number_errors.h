// SPDX-License-Identifier: Apache-2.0
// How far predicted numbers are from the true ones: mean absolute error, root mean square error, and R² (1: exact, 0: as good as the
// truths' mean).
#ifndef STN_TEXT_NUMBER_ERRORS_H
#define STN_TEXT_NUMBER_ERRORS_H

#include <stdint.h>

// Starts as {0}.
struct number_errors {
    double magnitude, square;
    double first, sum, sum_of_squares; // of truths less the first: 0 where all are equal
    int64_t count;
};
struct number_score {
    double mae, rmse, r2; // r2: NaN where all truths are equal
};
void number_errors_add(struct number_errors *errors, double value, double truth);
// Of one number at least.
struct number_score number_errors_score(const struct number_errors *errors);
#endif
