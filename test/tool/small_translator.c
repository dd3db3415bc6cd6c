// SPDX-License-Identifier: Apache-2.0
// small_translator DIR TYPE: saves an encoder-decoder of random weights over bytes.
#include "infer/task_model.h"

int main(int count, char **argument)
{
    struct model_config config = translators[0];
    struct loaded_model model;
    struct tokenizer *tokenizer;
    if (count != 3) return 2;
    if (strcmp(argument[2], "rnn_seq2seq") == 0) config = translators[3];
    config.vocabulary = 259, config.source_vocabulary = 0, config.context = 64;
    assert_ok(tokenizer_byte_create(&tokenizer));
    task_model(config, 5, 1.2f, &model);
    model.tokenizer = tokenizer;
    assert_ok(model_directory_save(argument[1], &model.config, &model.parameters,
                                   model.weights.data, tokenizer));
    small_model_release(&model);
    return 0;
}
