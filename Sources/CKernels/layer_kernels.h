// All passes of a path, over the vectors that CK_TARGET allows. Defines a static table `layer_kernels`.
#include "layer_vector.h"
//
#include "layer_activations.h"
#include "layer_norms.h"
#include "layer_optimizers.h"
#include "layer_softmax.h"

static const ck_layer_kernels layer_kernels = {
    .norm_statistics = norm_statistics,
    .normalize = normalize,
    .norm_backward = norm_backward,
    .norm_gradients = norm_gradients,
    .column_sums = column_sums,
    .add = add,
    .scale = scale,
    .activate = activate,
    .activate_backward = activate_backward,
    .gate = gate,
    .gate_backward = gate_backward,
    .rotate = rotate,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .dots = dots,
    .cross_entropy = cross_entropy,
    .adamw = adamw,
    .adamw_decoded = adamw_decoded,
    .sgd = sgd,
    .sum_of_squares = sum_of_squares,
};
