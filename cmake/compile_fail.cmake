# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# cmake -DCOMPILER=... -DSOURCE=... [-DFLAGS=...] [-DFOLDERS=...] -P compile_fail.cmake
# SOURCE must compile as it is, and must not compile with -DGANTRY_MISTAKE: the compiler has to say
# every sentence that a line "// EXPECT: sentence" holds.

set(ENV{LC_ALL} C.UTF-8) # the compiler's own words in English

function(refuse)
  message(NOTICE "${ARGV}") # a FATAL_ERROR would reflow the compiler's lines
  message(FATAL_ERROR "compile_fail")
endfunction()

file(STRINGS "${SOURCE}" expectations REGEX "^// EXPECT: ")
if(NOT expectations)
  refuse("${SOURCE} has no line \"// EXPECT: sentence\"; add what the compiler must say.")
endif()
list(TRANSFORM FOLDERS PREPEND "-I")
set(command "${COMPILER}" -std=c++20 ${FLAGS} ${FOLDERS} -fsyntax-only "${SOURCE}")

execute_process(COMMAND ${command} RESULT_VARIABLE status ERROR_VARIABLE diagnostics)
if(NOT status EQUAL 0)
  refuse("The control failed: ${SOURCE} must compile without GANTRY_MISTAKE.\n${diagnostics}")
endif()

execute_process(COMMAND ${command} -DGANTRY_MISTAKE RESULT_VARIABLE status
                ERROR_VARIABLE diagnostics)
if(status EQUAL 0)
  refuse("${SOURCE} compiles with GANTRY_MISTAKE, but must be refused.")
endif()
foreach(expectation IN LISTS expectations)
  string(REGEX REPLACE "^// EXPECT: +| +$" "" sentence "${expectation}")
  string(FIND "${diagnostics}" "${sentence}" position)
  if(position EQUAL -1)
    refuse("${SOURCE} is refused, but the compiler does not say \"${sentence}\".\n${diagnostics}")
  endif()
endforeach()
