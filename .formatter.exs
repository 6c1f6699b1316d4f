[
  inputs: ["{mix,.formatter}.exs", "src/*.ex", "test/*.exs"],
  line_length: 98
]
