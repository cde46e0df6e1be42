use super::*;

#[test]
fn paired_rows_go_back_to_halves() {
    let matrix = Matrix { rows: 16, cols: 1, encoding: Encoding::F32 };
    let at = Located { matrix, file: 0, offset: 0, row_bytes: 4, paired: Some(8) };
    let order: Vec<usize> = (0..16).map(|row| at.stored_row(row)).collect();
    assert_eq!(order, [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15]);
}
