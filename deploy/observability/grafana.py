"""Dashboards as Grafana reads them, made with Grafana's own builders."""

from __future__ import annotations

import json

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

from deploy.observability.panels import Board, Panel

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH, HEIGHT = 24, 8


def as_json(board: Board) -> str:
    """The document of one dashboard, the same at each call."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(["labo"])
        .timezone("browser")
        .refresh("30s")
        .time("now-1h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .editable()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Source").type("prometheus"))
    )
    if board.by_service:
        built.with_variable(
            dashboard.QueryVariable("job")
            .label("Service")
            .datasource(SOURCE)
            .query("label_values(labo_ready, job)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(multi=True)
            .include_all(include_all=True)
            .all_value(".+")
        )
    number = 0
    for title, panels in board.rows.items():
        number += 1
        built.with_row(dashboard.Row(title).id(number))
        for panel in panels:
            number += 1
            built.with_panel(_panel(panel, number, WIDTH // min(len(panels), 3)))
    document = json.loads(JSONEncoder(sort_keys=True, indent=2).encode(built.build()))
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _panel(panel: Panel, number: int, width: int) -> stat.Panel | timeseries.Panel:
    built = _stat(panel) if panel.kind == "stat" else _graph(panel)
    built.id(number).title(panel.title).description(panel.description).unit(panel.unit).datasource(SOURCE).span(width).height(HEIGHT)
    for letter, (expression, legend) in zip("ABCDEF", panel.queries.items(), strict=False):
        built.with_target(prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(letter).datasource(SOURCE))
    return built


def _stat(panel: Panel) -> stat.Panel:
    built = stat.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return built.thresholds(_limits(panel)) if panel.alarm is not None else built


def _graph(panel: Panel) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(options.LegendDisplayMode.LIST)
        .placement(options.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    built = timeseries.Panel().min(0).fill_opacity(10).legend(legend)
    if panel.alarm is None:
        return built
    line = common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED)
    return built.thresholds(_limits(panel)).thresholds_style(line)


def _limits(panel: Panel) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="green"), Threshold(value=panel.alarm, color="red")]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
