// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Models in the ONNX format (onnx.proto of github.com/onnx/onnx, IR version 7, operator set 13):
// what a network needs of it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/protobuf.hpp"

namespace gantry::inline v0::io::onnx {

/// A setting of a node.
struct attribute {
  std::string name;
  std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>> value;
};

/// One operator: names of the values that it reads and of the one that it makes. An empty name
/// leaves out an optional input.
struct node {
  std::string op;
  std::vector<std::string> inputs;
  std::string output;
  std::vector<attribute> attributes{};
};

/// A graph from one input of floats to one output, both with any number of samples in front.
class graph {
 public:
  /// Adds a node, whose output gets a name if it has none. @returns the name of its output
  std::string add(node n) {
    if (n.output.empty()) n.output = n.op + "_" + std::to_string(count_++);
    nodes_.message(1, encode(n));
    return n.output;
  }
  /// Adds constants of this shape. @returns their name
  std::string constant(const std::string& name, const std::vector<std::int64_t>& shape,
                       std::span<const float> values) {
    return tensor(name, shape, 1, std::as_bytes(values));
  }
  std::string constant(const std::string& name, const std::vector<std::int64_t>& values) {
    return tensor(name, {static_cast<std::int64_t>(values.size())}, 7,
                  std::as_bytes(std::span(values)));
  }

  /// The bytes of a model that reads `input` [n, extents...] and gives `output`, the last node's.
  [[nodiscard]] std::vector<std::byte> model(const std::string& input,
                                             const std::vector<std::int64_t>& from,
                                             const std::string& output,
                                             const std::vector<std::int64_t>& to) const {
    protobuf_message all = nodes_, whole;
    all.text(2, "generator").fields_of(tensors_);
    all.message(11, value_info(input, from)).message(12, value_info(output, to));
    whole.integer(1, 7).text(2, "Gantry").message(7, all);
    whole.message(8, protobuf_message().text(1, "").integer(2, 13));
    const std::span<const std::byte> bytes = whole.encoded();
    expects(bytes.size() < std::size_t{1} << 31,
            "a model in the ONNX format has less than 2 GiB and this one needs more; export a "
            "smaller network");
    return {bytes.begin(), bytes.end()};
  }

 private:
  static protobuf_message encode(const node& n) {
    protobuf_message m;
    for (const std::string& name : n.inputs) m.text(1, name);
    m.text(2, n.output).text(3, n.output).text(4, n.op);
    for (const attribute& a : n.attributes) m.message(5, encode(a));
    return m;
  }
  static protobuf_message encode(const attribute& a) {
    protobuf_message m;
    m.text(1, a.name);
    if (const auto* whole = std::get_if<std::int64_t>(&a.value))
      m.integer(3, *whole).integer(20, 2);
    if (const auto* number = std::get_if<float>(&a.value)) m.real32(2, *number).integer(20, 1);
    if (const auto* text = std::get_if<std::string>(&a.value)) m.text(4, *text).integer(20, 3);
    if (const auto* list = std::get_if<std::vector<std::int64_t>>(&a.value)) {
      for (const std::int64_t each : *list) m.integer(8, each);
      m.integer(20, 7);
    }
    return m;
  }
  static protobuf_message value_info(const std::string& name,
                                     const std::vector<std::int64_t>& extents) {
    protobuf_message shape;
    shape.message(1, protobuf_message().text(2, "n"));
    for (const std::int64_t extent : extents)
      shape.message(1, protobuf_message().integer(1, extent));
    const protobuf_message type =
        protobuf_message().message(1, protobuf_message().integer(1, 1).message(2, shape));
    return protobuf_message().text(1, name).message(2, type);
  }
  std::string tensor(const std::string& name, const std::vector<std::int64_t>& shape, int type,
                     std::span<const std::byte> data) {
    static_assert(std::endian::native == std::endian::little,
                  "ONNX models hold little-endian numbers; write them on such a machine");
    protobuf_message m;
    for (const std::int64_t extent : shape) m.integer(1, extent);
    m.integer(2, type).text(8, name);
    m.bytes(9, data);
    tensors_.message(5, m);
    return name;
  }

  protobuf_message nodes_, tensors_;
  int count_{};
};

}  // namespace gantry::io::onnx
