// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Everything a host program needs. Separate are gantry/backend/reference/reference.hpp, which
// checks kernels, gantry/metrics/frechet.hpp, whose matrix decompositions double the time to
// compile, and what docs/06_filters.md puts around a communicator.
#pragma once

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/base/adaptive_probability.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/data/cifar.hpp"
#include "gantry/data/mnist.hpp"
#include "gantry/data/partition_spec.hpp"
#include "gantry/data/sampler.hpp"
#include "gantry/data/synthetic.hpp"
#include "gantry/data/transform.hpp"
#include "gantry/dist/averaged_discriminator.hpp"
#include "gantry/dist/federated_average.hpp"
#include "gantry/dist/label_parallel.hpp"
#include "gantry/dist/layerwise_overlap.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/dist/output_aggregation.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/dist/task_groups.hpp"
#include "gantry/io/png.hpp"
#include "gantry/loss/auxiliary_classifier.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/loss/penalties.hpp"
#include "gantry/metrics/classifier_score.hpp"
#include "gantry/metrics/mode_coverage.hpp"
#include "gantry/models/augmented.hpp"
#include "gantry/models/presets.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"
#include "gantry/train/trainer.hpp"
