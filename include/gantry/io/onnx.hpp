// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Models in the ONNX format (onnx.proto of github.com/onnx/onnx, IR version 7, operator set 13):
// what a network needs of it, in protocol buffers written by hand.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/file.hpp"

namespace gantry::io::onnx {

/// One message in the wire format of protocol buffers: numbers of fields, their types and values.
class message {
 public:
  message& integer(unsigned field, std::int64_t value) {
    key(field, 0);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  message& real(unsigned field, float value) {
    key(field, 5);
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) out_ += static_cast<char>((bits >> shift) & 0xFF);
    return *this;
  }
  message& bytes(unsigned field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    out_ += value;
    return *this;
  }
  message& nested(unsigned field, const message& value) { return bytes(field, value.out_); }
  [[nodiscard]] const std::string& text() const { return out_; }

 private:
  void key(unsigned field, unsigned type) { varint(field << 3 | type); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
    out_ += static_cast<char>(value);
  }
  std::string out_;
};

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
    nodes_.nested(1, encode(n));
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
  [[nodiscard]] std::string model(const std::string& input, const std::vector<std::int64_t>& from,
                                  const std::string& output,
                                  const std::vector<std::int64_t>& to) const {
    message body;
    body.bytes(2, "generator");
    const std::string all =
        nodes_.text() + body.text() + tensors_.text() +
        message().nested(11, value_info(input, from)).nested(12, value_info(output, to)).text();
    message whole;
    whole.integer(1, 7).bytes(2, "Gantry").bytes(7, all);
    whole.nested(8, message().bytes(1, "").integer(2, 13));
    expects(whole.text().size() < std::size_t{1} << 31,
            "a model in the ONNX format has less than 2 GiB and this one needs more; export a "
            "smaller network");
    return whole.text();
  }

 private:
  static message encode(const node& n) {
    message m;
    for (const std::string& name : n.inputs) m.bytes(1, name);
    m.bytes(2, n.output).bytes(3, n.output).bytes(4, n.op);
    for (const attribute& a : n.attributes) m.nested(5, encode(a));
    return m;
  }
  static message encode(const attribute& a) {
    message m;
    m.bytes(1, a.name);
    if (const auto* whole = std::get_if<std::int64_t>(&a.value))
      m.integer(3, *whole).integer(20, 2);
    if (const auto* number = std::get_if<float>(&a.value)) m.real(2, *number).integer(20, 1);
    if (const auto* text = std::get_if<std::string>(&a.value)) m.bytes(4, *text).integer(20, 3);
    if (const auto* list = std::get_if<std::vector<std::int64_t>>(&a.value)) {
      for (const std::int64_t each : *list) m.integer(8, each);
      m.integer(20, 7);
    }
    return m;
  }
  static message value_info(const std::string& name, const std::vector<std::int64_t>& extents) {
    message shape;
    shape.nested(1, message().bytes(2, "n"));
    for (const std::int64_t extent : extents) shape.nested(1, message().integer(1, extent));
    const message type = message().nested(1, message().integer(1, 1).nested(2, shape));
    return message().bytes(1, name).nested(2, type);
  }
  std::string tensor(const std::string& name, const std::vector<std::int64_t>& shape, int type,
                     std::span<const std::byte> data) {
    static_assert(std::endian::native == std::endian::little,
                  "ONNX models hold little-endian numbers; write them on such a machine");
    message m;
    for (const std::int64_t extent : shape) m.integer(1, extent);
    m.integer(2, type).bytes(8, name);
    m.bytes(9, {reinterpret_cast<const char*>(data.data()), data.size()});
    tensors_.nested(5, m);
    return name;
  }

  message nodes_, tensors_;
  int count_{};
};

}  // namespace gantry::io::onnx
