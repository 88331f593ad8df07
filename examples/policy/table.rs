//! Tables as plain text.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

/// Sets a table: the columns in `left` to the left, the others, which are numbers, to the right.
pub(crate) fn table<const N: usize>(
    head: [&str; N],
    left: &[usize],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(head).add_rows(rows);
    for (i, column) in table.column_iter_mut().enumerate() {
        let alignment = if left.contains(&i) { CellAlignment::Left } else { CellAlignment::Right };
        column.set_cell_alignment(alignment);
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}
