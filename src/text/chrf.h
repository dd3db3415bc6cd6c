// SPDX-License-Identifier: Apache-2.0
// chrF and chrF++ as sacreBLEU computes them: an F-score over n-grams of characters (1 to 6) and, in chrF++, of words (1 and 2).
// Source: Popović 2015, 2017.
#ifndef STN_TEXT_CHRF_H
#define STN_TEXT_CHRF_H

#include "text/measure.h"

enum { CHRF_CHARACTERS = 6, CHRF_WORDS = 2, CHRF_ORDERS = CHRF_CHARACTERS + CHRF_WORDS };
struct chrf_options {
    int words; // orders of words: 0 (chrF), 1, 2 (chrF++)
    int beta;  // weight of recall; 0: 2
    bool lower_case;
    bool spaces;  // spaces count as characters
    bool epsilon; // every order counts, also one that neither side has (as chrF++.py, Moses, NLTK)
};
struct chrf_counts {
    int64_t hypothesis[CHRF_ORDERS], reference[CHRF_ORDERS], matches[CHRF_ORDERS];
};
// Adds an example; of several references the one with the best score counts. Starts the work anew.
enum status chrf_add(struct measure_work *work, const struct chrf_options *options,
                     struct text hypothesis, const struct text *references, int count,
                     struct chrf_counts *counts) CHECK_RESULT;
double chrf_score(const struct chrf_options *options, const struct chrf_counts *counts); // 0 to 100
// "nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:stentor-…"
void chrf_signature(const struct chrf_options *options, int references, char signature[160]);
#endif
