// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "gantry/io/json.hpp"

#include "scratch.hpp"

namespace gantry::inline v0::io {
namespace {

using json::array;
using json::object;
using json::parse;
using json::value;
using test::contains;
using test::message_of;

std::string refusal(std::string_view text) {
  return message_of<data_error>([&] { parse(text, "x.json"); });
}

TEST_CASE("json reads every kind of value") {
  const value v =
      parse(R"( {"a": [null, true, false, -12, 0.5, "x"], "b": {}, "c": [], "": 1e3} )");
  const array& a = v.at("a").as_array();
  CHECK(a[0].is_null());
  CHECK(a[1].as_bool());
  CHECK_FALSE(a[2].as_bool());
  CHECK(a[3].as_int() == -12);
  CHECK(a[4].as_double() == 0.5);
  CHECK(a[5].as_string() == "x");
  CHECK(v.at("b").as_object().size() == 0);
  CHECK(v.at("c").as_array().empty());
  CHECK(v.at("").as_double() == 1000.0);
}

TEST_CASE("json keeps the order of members") {
  const std::string text = R"({"z":1,"a":2,"m":3})";
  CHECK(json::dump(parse(text)) == text);
}

TEST_CASE("json integers are exact up to the limits of int64, and doubles beyond") {
  CHECK(parse("9223372036854775807").as_int() == std::numeric_limits<std::int64_t>::max());
  CHECK(parse("-9223372036854775808").as_int() == std::numeric_limits<std::int64_t>::min());
  CHECK(parse("9223372036854775808").is_double());
  CHECK(parse("9223372036854775808").as_double() == 9223372036854775808.0);
  CHECK(parse("1.0").is_double());
  CHECK(parse("3").as_double() == 3.0);
  CHECK(std::signbit(parse("-0").as_double()));
  CHECK_THROWS_AS(value{std::numeric_limits<std::uint64_t>::max()}, usage_error);
}

TEST_CASE("json doubles survive writing and reading bit for bit") {
  const double numbers[] = {0.1, -0.0, 1.0, 1e20, 1e-300, 5e-324, 1.7976931348623157e308, 2.0 / 3};
  for (const double number : numbers) {
    const value back = parse(json::dump(number));
    CAPTURE(number);
    REQUIRE(back.is_double());
    CHECK(std::bit_cast<std::uint64_t>(back.as_double()) == std::bit_cast<std::uint64_t>(number));
  }
  CHECK(json::dump(0.1) == "0.1");
}

TEST_CASE("json writes numbers that are not finite as null") {
  CHECK(json::dump(array{std::nan(""), HUGE_VAL, -HUGE_VAL}) == "[null,null,null]");
}

TEST_CASE("json escapes and reads back any text") {
  std::string text = "quote\" back\\ slash/ \b\f\n\r\t \x01 \x7f \u00e9 \u20ac \U0001F600";
  text.push_back('\0');
  const std::string dumped = json::dump(text);
  CHECK(parse(dumped).as_string() == text);
  for (const char c : dumped) CHECK(static_cast<unsigned char>(c) >= 0x20);
  CHECK(parse(R"("\u00e9\u20ac\ud83d\ude00\/")").as_string() == "\u00e9\u20ac\U0001F600/");
  CHECK(json::dump("a\xff\x62") == "\"a\xEF\xBF\xBD\x62\"");
  CHECK(json::dump("\xC2\x9B") == R"("\u009b")");
}

TEST_CASE("json indents on request") {
  const value v = object{{"a", array{1, 2}}, {"b", object{}}};
  CHECK(json::dump(v) == R"({"a":[1,2],"b":{}})");
  CHECK(json::dump(v, 2) == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}");
  CHECK(parse(json::dump(v, 2)) == v);
}

TEST_CASE("json refuses what is not strict JSON") {
  const std::string_view texts[] = {"",
                                    " ",
                                    "nul",
                                    "tru",
                                    "TRUE",
                                    "NaN",
                                    "Infinity",
                                    "-",
                                    "+1",
                                    "01",
                                    "-01",
                                    "1.",
                                    ".5",
                                    "1e",
                                    "1e+",
                                    "0x1",
                                    "1_0",
                                    "[1,]",
                                    "[,1]",
                                    "[1 2]",
                                    "[",
                                    "]",
                                    "{",
                                    "{\"a\"}",
                                    "{\"a\":}",
                                    "{\"a\":1,}",
                                    "{a:1}",
                                    "{1:2}",
                                    "'x'",
                                    "\"x",
                                    "\"\\x\"",
                                    "\"\\u12\"",
                                    "\"\\u+123\"",
                                    "\"\\",
                                    "\"a\nb\"",
                                    "1 2",
                                    "{} x",
                                    "[]]",
                                    "// c\n1",
                                    "/**/1",
                                    "\xEF\xBB\xBF{}",
                                    "1e999"};
  for (const std::string_view text : texts) {
    CAPTURE(text);
    CHECK(contains(refusal(text), "x.json is not valid JSON at byte "));
  }
  CHECK(contains(refusal(std::string_view("1\0", 2)), "expected the end of the text"));
}

TEST_CASE("json refuses bad UTF-8 and lone surrogates") {
  for (const char* bad :
       {"\x80", "\xC0\xAF", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xFF"}) {
    CAPTURE(bad);
    CHECK(contains(refusal("\"" + std::string(bad) + "\""), "valid UTF-8"));
  }
  for (const char* bad : {R"("\ud800")", R"("\udc00")", R"("\ud800x")", R"("\ud800\u0041")"}) {
    CHECK(contains(refusal(bad), "surrogate"));
  }
}

TEST_CASE("json refuses a key that comes twice, also when it is spelled differently") {
  CHECK(contains(refusal(R"({"a":1,"b":2,"a":3})"), "has the key \"a\" twice"));
  CHECK(contains(refusal(R"({"a":1,"\u0061":3})"), "has the key \"a\" twice"));
  CHECK(parse(R"({"a":{"a":1}})").at("a").at("a").as_int() == 1);
  CHECK_THROWS_AS((object{{"a", 1}, {"a", 2}}), usage_error);
}

TEST_CASE("json refuses nesting deeper than 64") {
  const auto nested = [](int depth) {
    const auto n = static_cast<std::size_t>(depth);
    return std::string(n, '[') + std::string(n, ']');
  };
  CHECK(parse(nested(64)).is_array());
  CHECK(contains(refusal(nested(65)), "deeper than 64"));
  CHECK(contains(refusal(std::string(1000000, '[')), "deeper than 64"));
}

TEST_CASE("json messages name place, expectation and find") {
  CHECK(refusal("{\"a\" 1}") ==
        "x.json is not valid JSON at byte 5: expected ':' and found \"1\"; correct it or restore "
        "it from a copy");
  CHECK(contains(refusal("[1"), "expected ',' or ']' and found the end of the text"));
  CHECK(contains(message_of<data_error>([] { (void)parse("{}").at("seed"); }), "member \"seed\""));
  CHECK(
      contains(message_of<data_error>([] { (void)parse("1").as_string(); }), "expected a string"));
  CHECK(contains(message_of<data_error>([] { (void)parse("1").at("x"); }), "found an integer"));
  CHECK_THROWS_AS((void)parse("1.5").as_int(), data_error);
}

TEST_CASE("json objects are set, found and compared") {
  object o;
  o.set("a", 1);
  o.set("b", "x");
  o.set("a", array{true});
  CHECK(json::dump(o) == R"({"a":[true],"b":"x"})");
  CHECK(o.find("c") == nullptr);
  const object copy = o;
  CHECK(copy == o);
  o.set("b", nullptr);
  CHECK_FALSE(copy == o);
}

TEST_CASE("json never fails otherwise than with data_error on damaged text") {
  const std::string text = R"({"a":[1,-2.5e3,"\u00e9\n",null,true],"b":{"c":"\ud83d\ude00"}})";
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(byte);
      try {
        const value v = parse(damaged);
        CHECK(parse(json::dump(v)) == v);
      } catch (const data_error&) {}
    }
    CHECK_THROWS_AS(parse(std::string_view(text).substr(0, i)), data_error);
  }
}

}  // namespace
}  // namespace gantry::io
