// SPDX-License-Identifier: Apache-2.0
#include "text/number_errors.h"

#include <math.h>

void number_errors_add(struct number_errors *errors, double value, double truth)
{
    double error = value - truth;
    if (errors->count == 0) errors->first = truth;
    errors->magnitude += fabs(error);
    errors->square += error * error;
    errors->sum += truth - errors->first;
    errors->sum_of_squares += (truth - errors->first) * (truth - errors->first);
    errors->count++;
}

struct number_score number_errors_score(const struct number_errors *errors)
{
    double n = (double)errors->count;
    double variance = errors->sum_of_squares - errors->sum * errors->sum / n;
    return (struct number_score){.mae = errors->magnitude / n,
                                 .rmse = sqrt(errors->square / n),
                                 .r2 = variance > 0 ? 1 - errors->square / variance : (double)NAN};
}
