// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are records of CIFAR-10 or CIFAR-100 or are refused by one data_error each.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "gantry/base/error.hpp"
#include "gantry/data/byte_reader.hpp"
#include "gantry/data/cifar.hpp"
#include "gantry/data/image_set.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gantry::data;
  for (const detail::cifar_format& format :
       {detail::cifar10_format(), detail::cifar100_format(cifar100_labels::fine)}) {
    try {
      byte_reader in(std::span(data, size), "input");
      image_set set{32, 32, 3, {}, {}, {}, {}};
      detail::append_cifar(in, format, set);
      if (set.size() == 0 || set.labels.size() != set.size()) std::abort();
    } catch (const gantry::data_error&) {}
  }
  return 0;
}
