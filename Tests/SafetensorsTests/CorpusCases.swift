import Testing

@testable import Safetensors

/// Edge cases of the container, with the verdict of the reference implementation (safetensors 0.8.0).
struct CorpusCase: Sendable, CustomTestStringConvertible {
  /// A class of errors that the reference tells apart.
  enum Fault: Sendable {
    case tooSmall, tooLarge, pastEnd, notUTF8, json, duplicate, offset, overflow, size, misaligned
    case coverage
  }

  enum Verdict: Sendable {
    /// Tensors as `name type shape`, by name.
    case accepted([String])
    case refused(Fault)
  }

  let name: String
  let reference: Verdict
  let bytes: [UInt8]
  /// Where this module refuses on purpose what the reference accepts, or earlier than it does.
  let strict: Fault?

  var testDescription: String { name }

  static let all: [CorpusCase] = {
    var cases: [CorpusCase] = []
    func add(_ name: String, _ verdict: Verdict, _ bytes: [UInt8], strict: Fault? = nil) {
      cases.append(CorpusCase(name: name, reference: verdict, bytes: bytes, strict: strict))
    }
    let one = object("test", entry())

    // Framing.
    add("empty_file", .refused(.tooSmall), [])
    add("seven_bytes", .refused(.tooSmall), zeros(7))
    add("eight_zero_bytes_header_len_0", .refused(.json), zeros(8))
    add("len_ok_but_no_header", .refused(.pastEnd), file([], length: 60))
    add("len_1000_small_file", .refused(.pastEnd), file(one, zeros(16), length: 1000))
    add("len_100000000_small_file", .refused(.pastEnd), file(one, zeros(16), length: 100_000_000))
    add("len_100000001", .refused(.tooLarge), file(one, zeros(16), length: 100_000_001))
    add("len_2pow63", .refused(.tooLarge), file(one, zeros(16), length: 1 << 63))
    add("len_u64max", .refused(.tooLarge), file(one, zeros(16), length: .max))
    add(
      "len_one_too_small", .refused(.json), file(one, zeros(16), length: UInt64(one.utf8.count - 1))
    )
    add(
      "len_one_too_big_nul_in_header", .refused(.json),
      file(one, zeros(16), length: UInt64(one.utf8.count + 1)))
    add("header_single_0xff", .refused(.notUTF8), file([0xFF]))
    add("header_single_brace", .refused(.json), file("{"))
    add("bom_before_brace", .refused(.json), file("\u{FEFF}{}"))
    // White space.
    add("empty_object", .accepted([]), file("{}"))
    add("trailing_ws_cr_sp_tab_lf", .accepted([]), file("{}\r \t\n"))
    add("leading_ws", .accepted([]), file("\t\n{}\r "))
    add("trailing_nul_padding", .refused(.json), file("{}\0\0\0\0\0\0"))
    add("trailing_vertical_tab", .refused(.json), file("{}\u{0B}"))
    add("trailing_garbage", .refused(.json), file("{}x"))
    add("two_objects", .refused(.json), file("{}{}"))
    add("header_unaligned_60", .accepted(["test I32 [2, 2]"]), file(one, zeros(16)))
    // The outermost value.
    add("top_level_array", .refused(.json), file("[]"))
    add("top_level_null", .refused(.json), file("null"))
    add("top_level_string", .refused(.json), file(#""a""#))
    add("top_level_number", .refused(.json), file("1"))
    // Coverage of the whole file.
    add("ok_basic", .accepted(["test I32 [2, 2]"]), file(one, zeros(16)))
    add("extra_bytes_at_end", .refused(.coverage), file(one, zeros(16) + Array("polyglot".utf8)))
    add("missing_2_bytes", .refused(.coverage), file(one, zeros(14)))
    add("empty_object_with_body", .refused(.coverage), file("{}", zeros(1)))
    add(
      "hole_before_first", .refused(.offset),
      file(object("test", entry("I32", "[2,2]", "[8,24]")), zeros(24)))
    add(
      "hole_between", .refused(.offset),
      file(object("a", entry("U8", "[2]", "[0,2]"), "b", entry("U8", "[2]", "[3,5]")), zeros(5)))
    add(
      "overlap_same_range_x10", .refused(.offset),
      file(
        "{" + (0..<10).map { "\"w\($0)\":" + entry("F32") }.joined(separator: ",") + "}", zeros(16))
    )
    add(
      "overlap_partial", .refused(.offset),
      file(object("a", entry("U8", "[4]", "[0,4]"), "b", entry("U8", "[4]", "[2,6]")), zeros(6)))
    add(
      "out_of_order_names_ok", .accepted(["a U8 [2]", "b U8 [2]"]),
      file(
        object("b", entry("U8", "[2]", "[2,4]"), "a", entry("U8", "[2]", "[0,2]")),
        Array("aabb".utf8)))
    add(
      "small_dtype_first_misaligned_ok", .accepted(["a U8 [1]", "b F32 [1]"]),
      file(object("a", entry("U8", "[1]", "[0,1]"), "b", entry("F32", "[1]", "[1,5]")), zeros(5)))
    add(
      "end_before_begin", .refused(.offset),
      file(object("test", entry("I32", "[2,2]", "[16,0]")), zeros(16)))
    add(
      "size_mismatch_short", .refused(.size), file(object("test", entry("I32", "[2,2]", "[0, 4]"))))
    add(
      "size_mismatch_with_body", .refused(.size),
      file(object("test", entry("I32", "[2,2]", "[0,4]")), zeros(4)))
    add(
      "offset_past_end", .refused(.coverage),
      file(object("test", entry("F32", "[1024,1024]", "[0,4194304]")), zeros(1)))
    // Shapes.
    add(
      "scalar_empty_shape", .accepted(["test I32 []"]),
      file(object("test", entry("I32", "[]", "[0,4]")), zeros(4)))
    add(
      "zero_dim", .accepted(["test I32 [2, 0]"]),
      file(object("test", entry("I32", "[2,0]", "[0,0]"))))
    add(
      "zero_dim_two_tensors", .accepted(["a I32 [2, 0]", "b I32 [0]"]),
      file(object("a", entry("I32", "[2,0]", "[0,0]"), "b", entry("I32", "[0]", "[0,0]"))))
    add(
      "zero_dim_between", .accepted(["a U8 [2]", "b I32 [0, 9]", "c U8 [1]"]),
      file(
        object(
          "a", entry("U8", "[2]", "[0,2]"), "b", entry("I32", "[0,9]", "[2,2]"), "c",
          entry("U8", "[1]", "[2,3]")), zeros(3)))
    add(
      "zero_dim_at_start_with_data_at_0", .accepted(["a U8 [2]", "z I32 [0]"]),
      file(object("a", entry("U8", "[2]", "[0,2]"), "z", entry("I32", "[0]", "[0,0]")), zeros(2)))
    add(
      "zero_dim_hides_overflow_late", .refused(.overflow),
      file(object("a", entry("I32", "[18446744073709551615,18446744073709551615,0]", "[0,0]"))))
    add(
      "zero_dim_hides_overflow_early",
      .accepted(["a I32 [0, 9223372036854775807, 9223372036854775807]"]),
      file(object("a", entry("I32", "[0,18446744073709551615,18446744073709551615]", "[0,0]"))))
    add(
      "overflow_product", .refused(.overflow),
      file(object("test", entry("I32", "[2,18446744073709551614]")), zeros(16)))
    add(
      "overflow_times_bits", .refused(.overflow),
      file(object("test", entry("I32", "[2,9223372036854775807]")), zeros(16)))
    add(
      "overflow_bits_only_2pow59_i32", .refused(.overflow),
      file(object("test", entry("I32", "[576460752303423488]", "[0,16]")), zeros(16)))
    add(
      "dim_gt_u64", .refused(.json),
      file(object("test", entry("I32", "[18446744073709551616]")), zeros(16)))
    add("dim_negative", .refused(.json), file(object("test", entry("I32", "[-1]")), zeros(16)))
    add("dim_float_2.0", .refused(.json), file(object("test", entry("I32", "[2.0,2]")), zeros(16)))
    add(
      "dim_exponent_1e0", .refused(.json),
      file(object("test", entry("U8", "[1e0]", "[0,1]")), zeros(1)))
    add("dim_string", .refused(.json), file(object("test", entry("I32", #"["2",2]"#)), zeros(16)))
    add("dim_null", .refused(.json), file(object("test", entry("I32", "null")), zeros(16)))
    add("dim_minus_zero", .refused(.json), file(object("test", entry("I32", "[-0]", "[0,0]"))))
    add(
      "dim_leading_zero", .refused(.json),
      file(object("test", entry("U8", "[01]", "[0,1]")), zeros(1)))
    add(
      "rank_65", .accepted(["test U8 \([Int](repeating: 1, count: 65))"]),
      file(
        object(
          "test",
          entry(
            "U8", "[" + [String](repeating: "1", count: 65).joined(separator: ",") + "]", "[0,1]")),
        zeros(1)))
    // Offsets.
    add(
      "offsets_3_items", .refused(.json),
      file(object("test", entry("I32", "[2,2]", "[0,16,32]")), zeros(16)))
    add(
      "offsets_1_item", .refused(.json),
      file(object("test", entry("I32", "[2,2]", "[0]")), zeros(16)))
    add(
      "offsets_negative", .refused(.json),
      file(object("test", entry("I32", "[2,2]", "[-16,0]")), zeros(16)))
    add(
      "offsets_float", .refused(.json),
      file(object("test", entry("I32", "[2,2]", "[0.0,16]")), zeros(16)))
    add(
      "offsets_object", .refused(.json),
      file(object("test", entry("I32", "[2,2]", #"{"0":0,"1":16}"#)), zeros(16)))
    // Entries.
    add(
      "missing_dtype", .refused(.json),
      file(#"{"test":{"shape":[1],"data_offsets":[0,1]}}"#, zeros(1)))
    add(
      "missing_shape", .refused(.json),
      file(#"{"test":{"dtype":"U8","data_offsets":[0,1]}}"#, zeros(1)))
    add("missing_offsets", .refused(.json), file(#"{"test":{"dtype":"U8","shape":[1]}}"#, zeros(1)))
    add(
      "extra_field_ignored", .accepted(["test U8 [1]"]),
      file(object("test", entry("U8", "[1]", "[0,1]", #","strides":[1],"x":{"y":null}"#)), zeros(1))
    )
    add(
      "duplicate_field_in_entry", .refused(.json),
      file(object("test", entry("U8", "[1]", "[0,1]", #","shape":[1]"#)), zeros(1)))
    add(
      "entry_as_array", .accepted(["test U8 [1]"]), file(#"{"test":["U8",[1],[0,1]]}"#, zeros(1)),
      strict: .json)
    add("entry_null", .refused(.json), file(#"{"test":null}"#))
    add("entry_string", .refused(.json), file(#"{"test":"x"}"#))
    add("dtype_unknown", .refused(.json), file(object("test", entry("F7")), zeros(16)))
    add("dtype_lowercase", .refused(.json), file(object("test", entry("i32")), zeros(16)))
    add(
      "dtype_as_object", .accepted(["test U8 [1]"]),
      file(#"{"test":{"dtype":{"U8":null},"shape":[1],"data_offsets":[0,1]}}"#, zeros(1)),
      strict: .json)
    add(
      "dtype_number", .refused(.json),
      file(#"{"test":{"dtype":3,"shape":[1],"data_offsets":[0,1]}}"#, zeros(1)))
    // Names.
    add(
      "dup_tensor_identical", .accepted(["a U8 [1]"]),
      file(object("a", entry("U8", "[1]", "[0,1]"), "a", entry("U8", "[1]", "[0,1]")), zeros(1)),
      strict: .duplicate)
    add(
      "dup_tensor_last_wins", .accepted(["a I8 [1]"]),
      file(object("a", entry("U8", "[1]", "[5,6]"), "a", entry("I8", "[1]", "[0,1]")), zeros(1)),
      strict: .duplicate)
    add(
      "dup_tensor_contiguous", .refused(.offset),
      file(object("a", entry("U8", "[1]", "[0,1]"), "a", entry("U8", "[1]", "[1,2]")), zeros(2)),
      strict: .duplicate)
    add(
      "empty_name", .accepted([" U8 [1]"]), file(object("", entry("U8", "[1]", "[0,1]")), zeros(1)))
    add(
      "unicode_name", .accepted(["é漢😀 U8 [1]"]),
      file(object("\u{E9}\u{6F22}\u{1F600}", entry("U8", "[1]", "[0,1]")), zeros(1)))
    add(
      "escaped_surrogate_pair_name", .accepted(["😀 U8 [1]"]),
      file(object(#"\ud83d\ude00"#, entry("U8", "[1]", "[0,1]")), zeros(1)))
    add(
      "lone_surrogate_name", .refused(.json),
      file(object(#"\ud83d"#, entry("U8", "[1]", "[0,1]")), zeros(1)))
    add(
      "escaped_nul_name", .accepted(["a\0b U8 [1]"]),
      file(object(#"a\u0000b"#, entry("U8", "[1]", "[0,1]")), zeros(1)))
    add(
      "raw_control_char_name", .refused(.json),
      file(object("a\u{01}b", entry("U8", "[1]", "[0,1]")), zeros(1)))
    add(
      "escape_equals_plain_dup", .refused(.offset),
      file(
        object("a", entry("U8", "[1]", "[0,1]"), #"\u0061"#, entry("U8", "[1]", "[1,2]")), zeros(2)),
      strict: .duplicate)
    // Metadata.
    add(
      "metadata_ok", .accepted(["test I32 [2, 2]"]),
      file(object("__metadata__", #"{"framework":"pt"}"#, "test", entry()), zeros(16)))
    add(
      "metadata_last", .accepted(["test I32 [2, 2]"]),
      file(object("test", entry(), "__metadata__", #"{"framework":"pt"}"#), zeros(16)))
    add("metadata_empty", .accepted([]), file(object("__metadata__", "{}")))
    add("metadata_null", .accepted([]), file(object("__metadata__", "null")))
    add("metadata_number_value", .refused(.json), file(object("__metadata__", #"{"a":1}"#)))
    add("metadata_null_value", .refused(.json), file(object("__metadata__", #"{"a":null}"#)))
    add("metadata_nested", .refused(.json), file(object("__metadata__", #"{"a":{"b":"c"}}"#)))
    add("metadata_array", .refused(.json), file(object("__metadata__", #"["a"]"#)))
    add("metadata_string", .refused(.json), file(object("__metadata__", #""a""#)))
    add(
      "metadata_dup_inner_key", .accepted([]), file(object("__metadata__", #"{"a":"1","a":"2"}"#)))
    add(
      "metadata_twice", .refused(.json),
      file(object("__metadata__", #"{"a":"1"}"#, "__metadata__", #"{"b":"2"}"#)))
    add(
      "metadata_looks_like_tensor", .refused(.json),
      file(object("__metadata__", entry("U8", "[1]", "[0,1]")), zeros(1)))
    // Grammar and depth.
    add("trailing_comma", .refused(.json), file(#"{"test":"# + entry() + ",}", zeros(16)))
    add("comment", .refused(.json), file("{/*x*/}"))
    add("single_quotes", .refused(.json), file("{'a':1}"))
    add("nan_literal", .refused(.json), file(object("test", entry("I32", "[NaN]"))))
    for depth in [120, 123, 124, 125, 126, 127, 128, 129, 1000] {
      let nested = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
      add(
        "ignored_field_depth_\(depth)", depth <= 125 ? .accepted(["t U8 [1]"]) : .refused(.json),
        file(object("t", entry("U8", "[1]", "[0,1]", ",\"x\":" + nested)), zeros(1)))
    }
    add(
      "depth_100000_unclosed", .refused(.json),
      file(#"{"t":"# + String(repeating: "[", count: 100_000)))
    // Types.
    add(
      "f4_even", .accepted(["t F4 [1, 2]"]),
      file(object("t", entry("F4", "[1,2]", "[0,1]")), zeros(1)))
    add(
      "f4_odd_total", .refused(.misaligned),
      file(object("t", entry("F4", "[1,3]", "[0,2]")), zeros(2)))
    add(
      "f4_odd_last_dim_even_total", .accepted(["t F4 [2, 3]"]),
      file(object("t", entry("F4", "[2,3]", "[0,3]")), zeros(3)))
    add("f4_wrong_len", .refused(.size), file(object("t", entry("F4", "[1,2]", "[0,2]")), zeros(2)))
    add(
      "f6_four_elems", .accepted(["t F6_E2M3 [4]"]),
      file(object("t", entry("F6_E2M3", "[4]", "[0,3]")), zeros(3)))
    add(
      "f6_three_elems", .refused(.misaligned),
      file(object("t", entry("F6_E3M2", "[3]", "[0,3]")), zeros(3)))
    for (bytes, names) in [
      (1, ["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"]),
      (2, ["I16", "U16", "F16", "BF16"]), (4, ["I32", "U32", "F32"]),
      (8, ["C64", "F64", "I64", "U64"]),
    ] {
      for name in names {
        add(
          "dtype_\(name)", .accepted(["t \(name) [3]"]),
          file(object("t", entry(name, "[3]", "[0,\(3 * bytes)]")), zeros(3 * bytes)))
      }
    }
    for name in [
      "C128", "F128", "U4", "I4", "F6", "F8", "E8M0", "BFLOAT16", "COMPLEX64", "F8_E4M3FN",
    ] {
      add(
        "dtype_rejected_\(name)", .refused(.json),
        file(object("t", entry(name, "[1]", "[0,1]")), zeros(1)))
    }
    add(
      "bool_value_2", .accepted(["t BOOL [1]"]),
      file(object("t", entry("BOOL", "[1]", "[0,1]")), [2]))
    return cases
  }()
}
