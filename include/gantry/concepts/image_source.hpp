// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Many images behind an index, which stay where they are (a folder, an archive) until somebody asks
// for one. What a file format needs to become a data set.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gantry::inline v0 {

/// One image of any extents, 8 bits per channel: 1 channel is grey, 3 are red, green, blue.
struct image8 {
  int height{}, width{}, channels{};
  std::vector<std::uint8_t> pixels;  ///< [height][width][channels]

  bool operator==(const image8&) const = default;
};

/// Images 0 .. size() - 1 in an order that depends on the contents alone, never on the file system.
///
/// - `size()`: how many; what a source opens has at least one, or it refuses.
/// - `classes()`: how many classes the labels have, 0 where there are no labels.
/// - `label(i)`: below classes(), and 0 where there are none; costs no reading.
/// - `class_name(c)`: the name of class c < classes(), its number as text where it has none.
/// - `name(i)`: where image i is from, for messages: a path, or `archive.zip:00001/img7.png`.
/// - `decode(i, out)`: the pixels of image i, at whatever extents and 1 or 3 channels it has. Keeps
///   the capacity of `out`, so that a loop over many images allocates once. Throws data_error with
///   name(i) in its sentence for an image that is damaged, too large or of a kind not read here;
///   `out` is unspecified then.
///
/// All are const and may be called by several threads at once, each with an `out` of its own;
/// i < size() is the caller's duty.
template <class S>
concept ImageSource = requires(const S& source, std::size_t i, image8& out) {
  { source.size() } -> std::same_as<std::size_t>;
  { source.classes() } -> std::same_as<std::size_t>;
  { source.label(i) } -> std::same_as<std::uint16_t>;
  { source.class_name(i) } -> std::same_as<std::string>;
  { source.name(i) } -> std::same_as<std::string>;
  { source.decode(i, out) } -> std::same_as<void>;
};

/// Any source behind one type, for programs that learn the format at run time. Copies share it.
class any_image_source {
 public:
  template <ImageSource S>
  explicit any_image_source(S source)
      : held_(std::make_shared<const holder<S>>(std::move(source))) {}

  [[nodiscard]] std::size_t size() const { return held_->size(); }
  [[nodiscard]] std::size_t classes() const { return held_->classes(); }
  [[nodiscard]] std::uint16_t label(std::size_t i) const { return held_->label(i); }
  [[nodiscard]] std::string class_name(std::size_t c) const { return held_->class_name(c); }
  [[nodiscard]] std::string name(std::size_t i) const { return held_->name(i); }
  void decode(std::size_t i, image8& out) const { held_->decode(i, out); }

 private:
  struct interface {
    virtual ~interface() = default;
    [[nodiscard]] virtual std::size_t size() const = 0;
    [[nodiscard]] virtual std::size_t classes() const = 0;
    [[nodiscard]] virtual std::uint16_t label(std::size_t) const = 0;
    [[nodiscard]] virtual std::string class_name(std::size_t) const = 0;
    [[nodiscard]] virtual std::string name(std::size_t) const = 0;
    virtual void decode(std::size_t, image8&) const = 0;
  };

  template <class S>
  struct holder final : interface {
    explicit holder(S s) : source(std::move(s)) {}
    [[nodiscard]] std::size_t size() const override { return source.size(); }
    [[nodiscard]] std::size_t classes() const override { return source.classes(); }
    [[nodiscard]] std::uint16_t label(std::size_t i) const override { return source.label(i); }
    [[nodiscard]] std::string class_name(std::size_t c) const override {
      return source.class_name(c);
    }
    [[nodiscard]] std::string name(std::size_t i) const override { return source.name(i); }
    void decode(std::size_t i, image8& out) const override { source.decode(i, out); }
    S source;
  };

  std::shared_ptr<const interface> held_;
};

}  // namespace gantry
