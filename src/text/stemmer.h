// SPDX-License-Identifier: Apache-2.0
// Porter's stemmer with the extensions that NLTK and rouge_score use. Source: Porter 1980; nltk.stem.porter, NLTK_EXTENSIONS.
#ifndef STN_TEXT_STEMMER_H
#define STN_TEXT_STEMMER_H

#include <stddef.h>

// Stems a word of small ASCII letters and digits where it stands; returns its new length, which is never more.
size_t porter_stem(char *word, size_t bytes);
#endif
