-- Undoes the functions of revision 0007.
DROP FUNCTION app.recount_quarters, app.mark_visitors, app.mark_again, app.erase_visitors, app.parts_of_days, app.count_days,
    app.visitors_of_days, app.gained_visitors, app.read_days, app.read_quarters;
