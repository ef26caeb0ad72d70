/* The steps of layer.h for one type and instruction set. */
#include "layer.h"
#include "pack.h"
#include "logits.h"
#include "loss.h"
#include "gradients.h"
#include "merge.h"
#include "largest.h"
#include "row_update.h"

const lx_layer_steps LX_KERNEL = {
    .panel = PANEL,
    .lanes = LANES,
    .label_logits = label_logits,
    .pack_weights = pack_weights,
    .pack_columns = pack_columns,
    .pack_rows = pack_rows,
    .logits = logits,
    .take_tiles = take_tiles,
    .products = products,
    .finish_inputs = finish_inputs,
    .merge = merge,
    .keep_largest = keep_largest,
    .update_rows = update_rows,
};
