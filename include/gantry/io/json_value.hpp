// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What a JSON text means: a value that is null, a boolean, a number, a string, an array or an
// object.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/utf8.hpp"

namespace gantry::inline v0::io::json {

class value;
struct member;
using array = std::vector<value>;

/// Members in the order in which they were written; keys are unique.
class object {
 public:
  object();
  /// @throws usage_error if a key is given twice
  object(std::initializer_list<member> members);
  object(const object& other);
  object(object&& other) noexcept;
  object& operator=(const object& other);
  object& operator=(object&& other) noexcept;
  ~object();

  /// Sets a member; a new key goes to the end.
  void set(std::string_view key, value content);
  /// The member's value, or null if there is none.
  [[nodiscard]] const value* find(std::string_view key) const;
  [[nodiscard]] const std::vector<member>& members() const { return members_; }
  [[nodiscard]] std::size_t size() const;

  bool operator==(const object& other) const;

 private:
  friend class reader;
  std::vector<member> members_;
};

/// Null, boolean, integer, floating point number, string, array or object.
class value {
 public:
  value() = default;
  value(std::nullptr_t) {}
  value(std::same_as<bool> auto flag) : content_(flag) {}
  /// @throws usage_error for an integer above 2^63 - 1, which would lose digits
  template <std::integral Int>
  requires(!std::same_as<Int, bool>) value(Int number)
      : content_(static_cast<std::int64_t>(number)) {
    expects(std::in_range<std::int64_t>(number),
            "JSON keeps integers up to 9223372036854775807 and was given a larger one; store it as "
            "a string");
  }
  value(std::floating_point auto number) : content_(static_cast<double>(number)) {}
  value(const char* text) : content_(std::string(text)) {}
  value(std::string_view text) : content_(std::string(text)) {}
  value(std::string text) : content_(std::move(text)) {}
  value(array elements) : content_(std::move(elements)) {}
  value(object members) : content_(std::move(members)) {}

  [[nodiscard]] bool is_null() const { return std::holds_alternative<std::nullptr_t>(content_); }
  [[nodiscard]] bool is_bool() const { return std::holds_alternative<bool>(content_); }
  [[nodiscard]] bool is_int() const { return std::holds_alternative<std::int64_t>(content_); }
  [[nodiscard]] bool is_double() const { return std::holds_alternative<double>(content_); }
  [[nodiscard]] bool is_string() const { return std::holds_alternative<std::string>(content_); }
  [[nodiscard]] bool is_array() const { return std::holds_alternative<array>(content_); }
  [[nodiscard]] bool is_object() const { return std::holds_alternative<object>(content_); }

  /// The content if it has this kind. @throws data_error that names the kind expected and the kind
  /// found
  [[nodiscard]] bool as_bool() const { return get<bool>("a boolean"); }
  [[nodiscard]] std::int64_t as_int() const { return get<std::int64_t>("an integer"); }
  [[nodiscard]] const std::string& as_string() const { return get<std::string>("a string"); }
  [[nodiscard]] const array& as_array() const { return get<array>("an array"); }
  [[nodiscard]] const object& as_object() const { return get<object>("an object"); }
  /// A number of either kind.
  [[nodiscard]] double as_double() const {
    return is_int() ? static_cast<double>(as_int()) : get<double>("a number");
  }
  /// A member of an object. @throws data_error if this is no object or has no such member
  [[nodiscard]] const value& at(std::string_view key) const {
    if (const value* found = as_object().find(key)) return *found;
    throw data_error("expected the JSON member " + in_quotes(key) +
                     " and found none; check the file that was read");
  }
  /// "an array", "a string", ... for messages.
  [[nodiscard]] const char* kind() const {
    constexpr const char* names[] = {"null",     "a boolean", "an integer", "a number",
                                     "a string", "an array",  "an object"};
    return names[content_.index()];
  }

  bool operator==(const value& other) const { return content_ == other.content_; }

 private:
  template <class T>
  const T& get(const char* expected) const {
    if (const T* found = std::get_if<T>(&content_)) return *found;
    throw data_error(std::string("expected ") + expected + " in the JSON text and found " + kind() +
                     "; check the file that was read");
  }

  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, array, object> content_;
};

struct member {
  std::string key;
  value content;
  bool operator==(const member& other) const = default;
};

// Here, where a member is complete.
inline object::object() = default;
inline object::object(const object&) = default;
inline object::object(object&&) noexcept = default;
inline object& object::operator=(const object&) = default;
inline object& object::operator=(object&&) noexcept = default;
inline object::~object() = default;
inline object::object(std::initializer_list<member> members) {
  members_.reserve(members.size());
  for (const member& m : members) {
    expects(find(m.key) == nullptr,
            "a JSON object has one value per key and was given a key twice; rename one");
    members_.push_back(m);
  }
}
inline void object::set(std::string_view key, value content) {
  for (member& m : members_) {
    if (m.key == key) {
      m.content = std::move(content);
      return;
    }
  }
  members_.push_back({std::string(key), std::move(content)});
}
inline const value* object::find(std::string_view key) const {
  for (const member& m : members_) {
    if (m.key == key) return &m.content;
  }
  return nullptr;
}
inline std::size_t object::size() const { return members_.size(); }
inline bool object::operator==(const object& other) const { return members_ == other.members_; }

}  // namespace gantry::io::json
